"""A server in a few dicts that loses replies, refuses and hangs up as a list of fates says.

It keeps the rules for writes with an id: the same id gives the same answer and changes nothing; an
id that was asked for before it came can never commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from csp.client.address import Address
from csp.client.decoding import new_decoder
from csp.client.problems import CannotConnect, ConnectionLost
from csp.client.steps import Close, Exchange, Open, Pause, Steps
from csp.errors import CspError
from csp.resp import MORE, Decoder, encode, error

Result = TypeVar("Result")
ADDRESSES = [Address("first", 1), Address("second", 2)]
# What befalls one step. "late": the bytes arrive after those of the next exchange.
FATES = (
    "well",
    "refuse",
    "lost before",
    "lost after",
    "late",
    "unknown",
    "done unknown",
    "busy",
    "down",
)


@dataclass
class UnsteadyServer:
    """The server, the network to it, and the clock; `run` is a driver of csp.client's core."""

    fates: list[str]  # of the next steps, the last first; then all goes well
    cuts: list[int] = field(default_factory=list)  # sizes of the pieces that replies come in
    now: float = 0.0
    is_open: bool = False
    revision: int = 1
    done: dict[str, int] = field(default_factory=dict)  # write id -> revision
    never: set[str] = field(default_factory=set)  # write ids that can't commit any more
    applied: Counter[bytes] = field(default_factory=Counter)  # content of writes
    late: list[list[bytes]] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def run(self, steps: Steps[Result]) -> Result:
        """Does the steps to their end."""
        answer: object = None
        problem: CspError | None = None
        while True:
            try:
                step = steps.send(answer) if problem is None else steps.throw(problem)
            except StopIteration as end:
                result: Result = end.value
                return result
            answer, problem = None, None
            try:
                answer = self._do(step)
            except CspError as found:
                problem = found

    def _do(self, step: object) -> object:
        match step:
            case Open(_):
                self.is_open = False
                if self._fate() == "refuse":
                    raise CannotConnect("refused")
                self.is_open = True
            case Close():
                self.is_open = False
            case Pause(seconds):
                self.now += seconds
            case Exchange(data, replies):
                return self._exchange(data, replies)
            case _:
                raise AssertionError(step)
        return None

    def _exchange(self, data: bytes, replies: int) -> list[object]:
        assert self.is_open, "an exchange on a closed connection"
        decoder = Decoder()
        decoder.feed(data)
        commands = [[bytes(word) for word in one] for one in decoder if isinstance(one, list)]  # type: ignore[arg-type]
        assert len(commands) == replies
        fate = self._fate()
        if fate in ("lost before", "late"):
            self.late += commands if fate == "late" else []
            self.is_open = False
            raise ConnectionLost("lost before")
        sent = b"".join(self._answer(command, fate) for command in commands)
        for command in self.late:
            self._execute(command)
        self.late.clear()
        if fate == "lost after":
            self.is_open = False
            raise ConnectionLost("lost after")
        return self._received(sent, replies)

    def _received(self, sent: bytes, replies: int) -> list[object]:
        decoder, values = new_decoder(), []
        while sent:
            size = self.cuts.pop() if self.cuts else len(sent)
            decoder.feed(sent[:size])
            sent = sent[size:]
            while (value := decoder.next()) is not MORE:
                values.append(value)
        assert len(values) == replies
        return values

    def _answer(self, command: list[bytes], fate: str) -> bytes:
        is_write = command[0] == b"CFG.CREATE"
        if is_write and fate in ("unknown", "done unknown"):
            if fate == "done unknown":
                self._execute(command)
            return error("UNKNOWNOUTCOME nobody knows")
        if command[0] in (b"CFG.CREATE", b"CFG.OUTCOME", b"CFG.COUNT"):
            if fate == "busy":
                return error("BUSY just now")
            if fate == "down":
                return error("MASTERDOWN no master")
        return self._execute(command)

    def _execute(self, command: list[bytes]) -> bytes:
        match command[0]:
            case b"CFG.CREATE":
                return self._create(command[2], command[-1].decode())
            case b"CFG.OUTCOME":
                wanted = command[1].decode()
                if wanted in self.done:
                    return encode(f"committed {self.done[wanted]}".encode(), 3)
                self.never.add(wanted)
                return encode(b"rejected", 3)
            case b"CFG.COUNT":
                return encode(sum(self.applied.values()), 3)
        return b"+OK\r\n"

    def _create(self, content: bytes, write_id: str) -> bytes:
        if write_id in self.never:
            return error("CONFLICT the write was given up")
        if write_id not in self.done:
            self.revision += 1
            self.done[write_id] = self.revision
            self.applied[content] += 1
        return encode([self.done[write_id], self.done[write_id] + 100], 3)

    def _fate(self) -> str:
        return self.fates.pop() if self.fates else "well"


def fates_in_order(fates: Iterable[str]) -> list[str]:
    """As the server takes them: from the end."""
    return list(fates)[::-1]
