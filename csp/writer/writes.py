"""Takes the workers' writes in groups, hands them to the origin, passes on what it answers.

1. Every write is answered once; a proxy's only when another server has decided.
2. What became of an earlier write is asked in turn with writes: the answer may be one (OUTCOME).
3. A message that can't be read is refused and harms no other.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Final, Protocol

from csp.errors import CspError
from csp.model.requests import WriteOutcome, WriteRequest, parse_question, parse_request
from csp.observe.faults import told_fault
from csp.process.channel.answering import Message
from csp.process.context import OptionValue
from csp.process.origin import AnyOrigin, AskingOrigin, DecidingOrigin
from csp.resp import Decoder, ProtocolError
from csp.tables.options import OPTIONS
from csp.writer.turns import Pace, Taken, Turns

# One group is one transaction of the database; what it takes holds the loop: some 30 ms of small
# writes, or one of the largest transactions of clients.
GROUP_REQUESTS_MAX: Final = 64
GROUP_BYTES_MAX: Final = 8 * 1024 * 1024
VERBS: Final = frozenset((b"WRITE", b"OUTCOME"))
OWN_MAX: Final = int(OPTIONS["csp", "forwards-per-client"].default)
ALL_MAX: Final = int(OPTIONS["csp", "forwards-max"].default)

log = logging.getLogger("csp.writer")


class Counts(Protocol):
    """Where the writer's counters are."""

    def count(self, metric: str, change: int = 1) -> None:
        """Adds to one of them."""

    def gauge(self, metric: str, value: int) -> None:
        """Sets one of them."""


class Writes:
    """All writes of one writer process."""

    def __init__(self, origin: AnyOrigin, counts: Counts) -> None:
        self._origin = origin
        self._counts = counts
        self._pace = Pace(OWN_MAX, ALL_MAX)
        self._turns = Turns(self._pace if origin.forwards else None)
        self.join = self._turns.join
        self.leave = self._turns.leave
        self.add = self._turns.add

    @property
    def are_waiting(self) -> bool:
        """Whether some wait for their turn."""
        return self._turns.has_writes

    @property
    def are_open(self) -> bool:
        """Whether some are not answered yet."""
        return self._turns.are_open

    def take_options(self, values: Mapping[str, OptionValue]) -> None:
        """How much of a proxy's is under way at its master holds at once."""
        self._pace.of_one = int(values.get("forwards-per-client", OWN_MAX))
        self._pace.of_all = int(values.get("forwards-max", ALL_MAX))

    def write_group(self) -> None:
        """Does the next group, if any waits."""
        group = self._turns.take(GROUP_REQUESTS_MAX, GROUP_BYTES_MAX)
        if not group:
            return
        self._counts.count("writes", len(group))
        if self._origin.forwards:
            self._forward(self._origin, group)
        else:
            self._write(self._origin, group)

    def settle(self) -> None:
        """Has done what the answers need not wait for, after they were sent."""
        if not self._origin.forwards:
            self._origin.settle()

    def show(self) -> None:
        """Sets the gauges of what is under way and what waits; called ten times a second."""
        if self._origin.forwards:
            self._counts.gauge("forwards", self._turns.under_way)
            self._counts.gauge("forwards_waiting", self._turns.waiting)

    def _write(self, origin: DecidingOrigin, group: list[Taken]) -> None:
        requests: list[WriteRequest] = []
        asked: list[Taken] = []
        for taken in group:
            try:
                requests.append(_read(taken.message))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's alone
                self._refuse(taken, error)
            else:
                asked.append(taken)
        outcomes = origin.write(requests) if requests else ()
        for taken, outcome in zip(asked, outcomes, strict=True):
            self._answer(taken, outcome)

    def _forward(self, origin: AskingOrigin, group: list[Taken]) -> None:
        laters = origin.forward([taken.message for taken in group])
        for taken, later in zip(group, laters, strict=True):
            later.then(functools.partial(self._decided, taken))

    def _decided(self, taken: Taken, outcome: WriteOutcome | Exception) -> None:
        if isinstance(outcome, Exception):
            self._refuse(taken, outcome)
        else:
            self._answer(taken, outcome)

    def _refuse(self, taken: Taken, error: Exception) -> None:
        told = error if isinstance(error, CspError) else told_fault(log, "a write", error)
        self._answer(taken, WriteOutcome(0, (), told))

    def _answer(self, taken: Taken, outcome: WriteOutcome) -> None:
        self._turns.decided(taken)
        peer, number = taken.peer, taken.message[1]
        if outcome.error is not None:
            self._counts.count("writes_refused")
            peer.fail(number, outcome.error.line)
        elif outcome.text:
            peer.done(number, outcome.revision, outcome.text)
        else:
            peer.done(number, outcome.revision, *map(_dbid, outcome.results))


def _read(message: Message) -> WriteRequest:
    """WRITE req who id-or-empty "one" word… or "exec" command…, or OUTCOME req who id."""
    try:
        if message[0] == b"OUTCOME":
            _, number, asks, write_id = message
            return parse_question(int(number), asks, write_id)
        _, number, asks, write_id, kind, *encoded = message
        commands = [encoded] if kind == b"one" else [_read_command(one) for one in encoded]
        return parse_request(int(number), asks, write_id, kind, commands)
    except (ValueError, ProtocolError) as error:
        raise CspError(f"the write can't be read: {error}") from error


def _read_command(encoded: bytes) -> list[bytes]:
    decoder = Decoder()
    decoder.feed(encoded)
    command = decoder.next()
    if not isinstance(command, list):
        raise ValueError("a command is an array")
    return [word for word in command if isinstance(word, bytes)]


def _dbid(result: int) -> str:
    """A DBID for a create, else nothing."""
    return str(result) if result else ""
