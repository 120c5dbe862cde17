"""The commands of an import, answered by a real master's database origin without sockets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from csp.errors import CspError, NoPerm
from csp.model.extract import value_at
from csp.model.grants import grants_in
from csp.model.image import parse_header, parse_image
from csp.model.keys import KEYS
from csp.model.places import Place
from csp.model.rights import Grants
from csp.model.types import CLASSES, GRANTS_CLASS_ID
from csp.resp import Decoder
from tests.unit.grants_stage import GrantsStage

Object = dict[str, Any]


class ImportMaster(GrantsStage):
    """A master as csp.transfer sees a server."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.transactions = 0
        self.without_rp: set[Place] = set()  # whose grants may not be read

    def revision(self) -> int:
        return self.host.published

    def count(self, class_name: str) -> int:
        number = CLASSES[class_name].id
        return sum(1 for class_id, _ in self.host.records if class_id == number)

    def read(self, class_name: str, *, extra: tuple[str, ...] = ()) -> Iterator[Object]:
        number = CLASSES[class_name].id
        for (class_id, _), image in sorted(self.host.records.items()):
            if class_id == number:
                value = parse_image(image)[1]
                assert value is not None
                yield value

    def find_many(self, class_name: str, keys: list[dict[str, str | int]]) -> list[Object | None]:
        return [self._find(class_name, key) for key in keys]

    def _find(self, class_name: str, key: dict[str, str | int]) -> Object | None:
        wanted = [(KEYS[class_name, name].source, str(value)) for name, value in key.items()]
        for one in self.read(class_name):
            if all(str(value_at(one, path)) == value for path, value in wanted):
                return one
        return None

    def get_many(self, class_name: str, dbids: Sequence[int]) -> list[Object | None]:
        return [self.object(class_name, dbid) for dbid in dbids]

    def own_grants(self, places: Sequence[Place]) -> list[Grants | CspError]:
        found: dict[Place, Grants] = {
            parse_header(image).container: grants_in(image)
            for (class_id, _), image in self.host.records.items()
            if class_id == GRANTS_CLASS_ID
        }
        return [
            NoPerm("Read Permissions (RP) is needed") if one in self.without_rp
            else found.get(one, {})
            for one in places
        ]  # fmt: skip

    def exchange(self, requests: Sequence[bytes]) -> list[Any]:
        decoder = Decoder()
        decoder.feed(b"".join(requests))
        commands = [tuple(command) for command in decoder if isinstance(command, list)]
        self.transactions += 1
        outcome = self.exec(*commands[1:-1])
        if outcome.error is not None:
            return ["OK", *["QUEUED"] * (len(commands) - 2), outcome.error]
        result = [
            [outcome.revision, dbid] if dbid else outcome.revision for dbid in outcome.results
        ]
        return ["OK", *["QUEUED"] * (len(commands) - 2), result]
