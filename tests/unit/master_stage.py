"""A master's database origin on a fake host, driven by commands as clients write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from csp.errors import CspError
from csp.master.origin import DatabaseOrigin
from csp.master.records import DatabaseRecords
from csp.master.seat import Holder
from csp.master.seed import SeedPlan
from csp.model.principal import Principal, message_of
from csp.model.requests import WriteOutcome, WriteRequest, parse_question, parse_request
from csp.process.origin import Later
from tests.neighbours.databases import Place, SqlitePlace
from tests.unit.fake_host import FakeHost

ASKS = message_of(Principal(100, address="192.0.2.7:1"), is_server=False)


class Stage:
    """One master: its database, its origin, what it has published."""

    def __init__(self, place: Place | Path | str, me: Holder | None = None) -> None:
        """On a place of its own, on SQLite in a folder, or on what an address names; `me`: as
        which of the masters of one PostgreSQL database.
        """
        self.me = me
        if not isinstance(place, str):
            self.place = SqlitePlace(place) if isinstance(place, Path) else place
        self.address = place if isinstance(place, str) else self.place.url
        self.host = FakeHost()
        self.asks = ASKS
        self.origin = self.open()
        self.records = DatabaseRecords(self.address, lambda: None)  # as the reading process has it

    def open(self) -> DatabaseOrigin:
        origin = DatabaseOrigin(self.address, SeedPlan(password="secret"), me=self.me)
        origin.start(self.host)
        return origin

    def close(self) -> None:
        self.records.close()
        self.origin.close()

    def write(self, *command: Any, write_id: str = "") -> WriteOutcome:
        """One command; objects and deltas as dictionaries."""
        return self._send("one", [command], write_id)

    def exec(self, *commands: tuple[Any, ...], write_id: str = "") -> WriteOutcome:
        return self._send("exec", list(commands), write_id)

    def create(self, class_name: str, **attributes: Any) -> int:
        outcome = self.write("CFG.CREATE", class_name, attributes)
        if outcome.error:
            raise outcome.error
        return outcome.results[0]

    def update(self, class_name: str, dbid: int, delta: dict[str, Any]) -> int:
        outcome = self.write("CFG.UPDATE", class_name, dbid, delta)
        if outcome.error:
            raise outcome.error
        return outcome.revision

    def delete(self, class_name: str, dbid: int) -> int:
        outcome = self.write("CFG.DELETE", class_name, dbid)
        if outcome.error:
            raise outcome.error
        return outcome.revision

    def refused(self, *command: Any) -> str:
        """The error line of a command that must be refused, and must have changed nothing."""
        before, revision = dict(self.host.records), self.host.published
        outcome = self.write(*command)
        assert outcome.error is not None, outcome
        assert self.host.records == before
        assert self.host.published == revision
        return outcome.error.line

    def refused_exec(self, *commands: tuple[Any, ...]) -> str:
        before, revision = dict(self.host.records), self.host.published
        outcome = self.exec(*commands)
        assert outcome.error is not None, outcome
        assert self.host.records == before
        assert self.host.published == revision
        return outcome.error.line

    def object(self, class_name: str, dbid: int) -> dict[str, Any]:
        found = self.host.object(class_name, dbid)
        assert found is not None, f"{class_name}:{dbid}"
        return found

    def outcome(self, write_id: str) -> str:
        """What became of a write, as CFG.OUTCOME tells it."""
        found = self.group(("CFG.OUTCOME", write_id))[0]
        if found.error:
            raise found.error
        return found.text

    def group(
        self, *commands: tuple[Any, ...] | list[tuple[Any, ...]], write_ids: Sequence[str] = ()
    ) -> list[WriteOutcome]:
        """Requests of one command each, handed over together; a list of commands is an EXEC."""
        ids = [*write_ids, *[""] * (len(commands) - len(write_ids))]
        requests = [
            self._request("one", [one], own) if isinstance(one, tuple) else
            self._request("exec", one, own)
            for one, own in zip(commands, ids, strict=True)
        ]  # fmt: skip
        return self._hand_over(requests)

    def _send(self, kind: str, commands: list[tuple[Any, ...]], write_id: str) -> WriteOutcome:
        try:
            request = self._request(kind, commands, write_id)
        except CspError as error:
            return WriteOutcome(0, (), error)
        return self._hand_over([request])[0]

    def _hand_over(self, requests: Sequence[WriteRequest]) -> list[WriteOutcome]:
        self.origin.watches()  # as the writer's loop does in each turn
        return [known(one) for one in self.origin.write(requests)]

    def _request(self, kind: str, commands: list[tuple[Any, ...]], write_id: str) -> WriteRequest:
        if commands[0][0] == "CFG.OUTCOME":
            return parse_question(1, self.asks, str(commands[0][1]).encode())
        raw = [[_bytes(argument) for argument in command] for command in commands]
        return parse_request(1, self.asks, write_id.encode(), kind.encode(), raw)


def known(outcome: WriteOutcome | Later[WriteOutcome]) -> WriteOutcome:
    """A master answers at once."""
    assert isinstance(outcome, WriteOutcome)
    return outcome


def _bytes(argument: Any) -> bytes:
    if isinstance(argument, bytes):
        return argument
    return str(argument).encode() if isinstance(argument, str | int) else orjson.dumps(argument)
