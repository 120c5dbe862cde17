"""Takes the workers' writes in groups, hands them to the origin, passes on what it answers.

1. Every write is answered once; some only when another server has decided.
2. What became of an earlier write is asked in turn with writes: the answer may be one (OUTCOME).
3. A message that can't be read is refused and harms no other.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

from csp.errors import CspError
from csp.model.requests import WriteOutcome, WriteRequest, parse_question, parse_request
from csp.observe.faults import told_fault
from csp.process.channel.answering import Message, Peer
from csp.process.origin import Later, Origin
from csp.resp import Decoder, ProtocolError
from csp.writer.turns import Turns

# One group is one transaction of the database; what it takes holds the loop: some 30 ms of small
# writes, or one of the largest transactions of clients.
GROUP_REQUESTS_MAX: Final = 64
GROUP_BYTES_MAX: Final = 8 * 1024 * 1024
VERBS: Final = frozenset((b"WRITE", b"OUTCOME"))

log = logging.getLogger("csp.writer")


class Counts(Protocol):
    """Where the writer's counters are."""

    def count(self, metric: str, change: int = 1) -> None:
        """Adds to one of them."""


class Writes:
    """All writes of one writer process."""

    def __init__(self, origin: Origin, counts: Counts) -> None:
        self._origin = origin
        self._counts = counts
        self._turns = Turns()
        self._undecided = 0
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
        return self._turns.has_writes or self._undecided > 0

    def write_group(self) -> None:
        """Does the next group, if any waits."""
        group = self._turns.take(GROUP_REQUESTS_MAX, GROUP_BYTES_MAX)
        if not group:
            return
        requests: list[WriteRequest] = []
        asked: list[tuple[Peer, bytes]] = []
        for peer, message in group:
            try:
                requests.append(_read(message))
            except CspError as error:
                self._answer(peer, message[1], WriteOutcome(0, (), error))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's alone
                told = told_fault(log, "reading a write", error)
                self._answer(peer, message[1], WriteOutcome(0, (), told))
            else:
                asked.append((peer, message[1]))
        self._counts.count("writes", len(group))
        outcomes = self._origin.write(requests) if requests else ()
        for (peer, number), outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, Later):
                self._answer_later(peer, number, outcome)
            else:
                self._answer(peer, number, outcome)

    def _answer_later(self, peer: Peer, number: bytes, later: Later[WriteOutcome]) -> None:
        def decided(outcome: WriteOutcome | Exception) -> None:
            self._undecided -= 1
            if isinstance(outcome, CspError):
                outcome = WriteOutcome(0, (), outcome)
            elif isinstance(outcome, Exception):
                outcome = WriteOutcome(0, (), CspError(str(outcome)))
            self._answer(peer, number, outcome)

        self._undecided += 1
        later.then(decided)

    def _answer(self, peer: Peer, number: bytes, outcome: WriteOutcome) -> None:
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
