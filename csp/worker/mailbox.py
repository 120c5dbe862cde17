"""Lets the workers of one server ask each other: a datagram socket each, in the runtime folder.

1. A question goes to every other worker and is answered once, by words, in as many messages as they
   need. Who is dead costs nothing, who does not answer within ANSWER_MS_MAX costs that.
2. Nothing waits: what a full socket did not take is sent again by the clock, for as long.
3. All that is kept is bounded: questions under way, bytes of a message, messages taken in one call.
4. Of a worker that has not told its whole answer in time, none of it counts.
5. Whoever can write into the runtime folder is this server: it is its user's alone (0700).
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from csp.errors import Busy, TooBig
from csp.resp import Decoder, ProtocolError, request
from csp.resp.encode import bulk
from csp.worker.ports import Loop

ANSWER_MS_MAX = 1_000  # a worker's turn is 10 ms; a longer silence is a stopped process
RETRY_MS = 10  # a socket holds some messages; its owner takes them in its next turn
TRIES_MAX = ANSWER_MS_MAX // RETRY_MS
ASKED_MAX = 64  # questions of one worker under way: administrators ask, not clients
MESSAGE_BYTES_MAX = 64 * 1024  # fits a datagram socket's buffer whatever the kernel's settings
WORDS_BYTES_MAX = MESSAGE_BYTES_MAX - 256  # of an answer's part, beside what heads it
TAKEN_MAX = 16  # messages taken in one call; the rest comes in the next turn

Words = list[bytes]
Tell = Callable[[Words], None]
# Answers a question of another worker: its words, and where the answer goes, now or later.
Answer = Callable[[Words, Tell], None]
Then = Callable[[list[Words]], None]


@dataclass
class Told:
    """What one worker has answered so far."""

    parts: int = -1  # of its answer; -1: not known yet
    words: Words = field(default_factory=list)
    taken: set[int] = field(default_factory=set)

    def take(self, part: int, parts: int, words: Words) -> None:
        """Takes a part; a second copy of one is no news."""
        if part not in self.taken:
            self.taken.add(part)
            self.parts = parts
            self.words += words

    @property
    def is_whole(self) -> bool:
        return len(self.taken) == self.parts


@dataclass
class Asked:
    """One question under way."""

    then: Then
    waiting: dict[int, Told]  # workers that owe an answer
    answers: list[Words] = field(default_factory=list)


class Mailbox:
    """One worker's end."""

    def __init__(self, loop: Loop, folder: Path, slot: int, workers: int, answer: Answer) -> None:
        self._loop = loop
        self._folder = folder
        self._slot = slot
        self._others = [other for other in range(workers) if other != slot]
        self._answer = answer
        self._asked: dict[int, Asked] = {}
        self._count = 0
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Takes the address of this slot, which a dead predecessor may have left."""
        path = self._path(self._slot)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))
        self._loop.add_fd(self._socket.fileno(), self._take)

    def close(self) -> None:
        """Lets go of the address."""
        if self._socket is not None:
            self._loop.remove_fd(self._socket.fileno())
            self._socket.close()
            self._socket = None
            self._path(self._slot).unlink(missing_ok=True)

    def ask(self, words: Words, then: Then, *, to: int | None = None) -> None:
        """Asks one, or all others; `then` gets the answers, ANSWER_MS_MAX later at the latest."""
        if len(self._asked) >= ASKED_MAX:
            raise Busy(f"{ASKED_MAX} questions to other workers are under way already")
        self._count += 1
        number = self._count
        message = request("ASK", self._slot, number, *words)
        if len(message) > MESSAGE_BYTES_MAX:
            raise TooBig(f"a question to other workers has at most {MESSAGE_BYTES_MAX} bytes")
        others = [other for other in self._others if to in (None, other)]
        self._asked[number] = Asked(then, {other: Told() for other in others})
        self._loop.call_later(ANSWER_MS_MAX, lambda: self._settle(number, late=True))
        for other in others:
            self._post(other, message, functools.partial(self._lost, number, other))
        self._settle(number)

    def _post(
        self, other: int, message: bytes, gone: Callable[[], None], tries: int = TRIES_MAX
    ) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message, str(self._path(other)))
        except BlockingIOError:
            if tries:
                again = lambda: self._post(other, message, gone, tries - 1)  # noqa: E731
                self._loop.call_later(RETRY_MS, again)
        except OSError:
            gone()  # nobody has that address: the worker is dead, and its connections with it

    def _lost(self, number: int, other: int) -> None:
        asked = self._asked.get(number)
        if asked is not None:
            asked.waiting.pop(other, None)
            self._settle(number)

    def _settle(self, number: int, *, late: bool = False) -> None:
        asked = self._asked.get(number)
        if asked is not None and (late or not asked.waiting):
            del self._asked[number]
            asked.then(asked.answers)

    def _take(self) -> None:
        for _ in range(TAKEN_MAX):
            if self._socket is None:
                return
            try:
                data = self._socket.recv(MESSAGE_BYTES_MAX)
            except BlockingIOError:
                return
            self._read(data)

    def _read(self, data: bytes) -> None:
        decoder = Decoder()
        decoder.feed(data)
        try:
            value = decoder.next()
            words = [word for word in value if isinstance(word, bytes)]  # type: ignore[union-attr]
            if words[0] == b"ASK":
                self._asked_by(int(words[1]), int(words[2]), words[3:])
            elif words[0] == b"TOLD":
                other, number, part, parts = (int(word) for word in words[1:5])
                self._told_by(other, number, part, parts, words[5:])
        except (ProtocolError, TypeError, ValueError, IndexError):
            return  # of another release, in the moment of an upgrade: it gets no answer

    def _asked_by(self, other: int, number: int, words: Words) -> None:
        def tell(answer: Words) -> None:
            parts = split(answer)
            for part, some in enumerate(parts):
                message = request("TOLD", self._slot, number, part, len(parts), *some)
                self._post(other, message, lambda: None)

        if other in self._others:
            self._answer(words, tell)

    def _told_by(self, other: int, number: int, part: int, parts: int, words: Words) -> None:
        asked = self._asked.get(number)
        told = asked.waiting.get(other) if asked is not None else None
        if asked is None or told is None or not 0 <= part < parts:
            return
        told.take(part, parts, words)
        if told.is_whole:
            del asked.waiting[other]
            asked.answers.append(told.words)
            self._settle(number)

    def _path(self, slot: int) -> Path:
        return self._folder / f"m{slot}.sock"


def split(words: Words) -> list[Words]:
    """The words in lists that fit a message each; one list where there are none."""
    parts: list[Words] = [[]]
    size = 0
    for word in words:
        needed = len(bulk(word))
        if size + needed > WORDS_BYTES_MAX and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(word)
        size += needed
    return parts


def count(number: int) -> Words:
    """An answer that is a number."""
    return [b"%d" % number]


def total(answers: list[Words]) -> int:
    """The sum of answers that are numbers."""
    return sum(int(words[0]) for words in answers)
