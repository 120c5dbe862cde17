"""A made-up centre is imported into a master, whole, and a second import changes nothing."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

from csp.errors import CspError
from csp.master.origin import DatabaseOrigin
from csp.model.grants import grants_in
from csp.model.image import parse_header, parse_image
from csp.model.places import Place as Placed
from csp.model.requests import parse_request
from csp.model.rights import Grants
from csp.model.types import CLASSES, GRANTS_CLASS_ID
from csp.resp import Decoder
from csp.transfer.estate.writing import write_estate
from csp.transfer.importing import Prepared, Wishes, carry_out, prepare
from csp.transfer.problems import Problems
from tests.neighbours.databases import Place
from tests.unit.fake_host import FakeHost
from tests.unit.master_stage import ASKS, Stage


class Link:
    """What an import asks of a server, answered by a master's origin without a network."""

    def __init__(self, origin: DatabaseOrigin, host: FakeHost) -> None:
        self.origin = origin
        self.host = host

    def revision(self) -> int:
        return self.host.published

    def count(self, class_name: str) -> int:
        return sum(one == CLASSES[class_name].id for one, _ in self.host.records)

    def read(self, class_name: str, *, extra: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
        for key, image in sorted(self.host.records.items()):
            if key[0] == CLASSES[class_name].id:
                obj = parse_image(image)[1]
                assert obj is not None
                yield obj

    def find_many(self, class_name: str, keys: list[dict[str, str | int]]) -> list[Any]:
        raise AssertionError("so small a server is read whole")

    def own_grants(self, places: Sequence[Placed]) -> list[Grants | CspError]:
        found = {
            parse_header(image).container: grants_in(image)
            for (class_id, _), image in self.host.records.items()
            if class_id == GRANTS_CLASS_ID
        }
        return [found.get(one, {}) for one in places]

    def exchange(self, requests: Sequence[bytes]) -> list[Any]:
        decoder = Decoder()
        decoder.feed(b"".join(requests))
        commands = [list(command) for command in decoder][1:-1]  # type: ignore[call-overload]
        result: Any
        try:
            request = parse_request(1, ASKS, b"", b"exec", commands)
            outcome = self.origin.write([request])[0]
            result = outcome.error or [
                [outcome.revision, dbid] if dbid else outcome.revision for dbid in outcome.results
            ]
        except CspError as error:
            result = error
        return ["OK", *["QUEUED"] * len(commands), result]


def bring_in(link: Link, data: bytes) -> Prepared:
    problems = Problems()
    prepared = prepare(
        ["estate"], link, Wishes(), problems, open_file=lambda _name: io.BytesIO(data)
    )
    carry_out(prepared, link, problems, lambda _done, _of: None)
    return prepared


def test_an_estate_comes_in_whole_and_once(place: Place) -> None:
    stage = Stage(place)
    output = io.BytesIO()
    count = write_estate(output, 60, 7, None)
    link = Link(stage.origin, stage.host)
    bring_in(link, output.getvalue())
    assert len(stage.host.records) >= count
    assert stage.object("CfgPerson", 101)["tenantDBID"] >= 1
    revision = stage.host.published
    bring_in(link, output.getvalue())
    assert stage.host.published == revision
    records = dict(stage.host.records)
    stage.host.stream = b""
    stage.close()
    stage.origin = stage.open()
    assert stage.host.records == records
    stage.close()
