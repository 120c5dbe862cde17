"""Asks another process of the same server over a Unix socket, never waiting for the answer.

1. Every question gets exactly one answer: Done, Fail, Absent where nothing was and nothing will be
   done, or Broken where it may have been.
2. Nothing is sent before the other process has greeted: its socket is the supervisor's and takes
   connections also while nobody serves them. Questions wait for the greeting, each and all
   together as long as the limits say; after that they are Absent at once, until it comes.
3. The socket is non-blocking: what it doesn't take now goes when it is writable again.
4. Beyond the limits of questions under way and of bytes a question is refused at once.
5. A channel that broke connects again by itself, at once and then with growing delays.
6. Questions that are asked `together` go in one piece, those of a turn of the loop: where hundreds
   ask at once, the other process is woken for all of them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from csp.errors import TooBig
from csp.process.channel.framing import ANSWERED, GREETING, REFUSED, Limits
from csp.resp import Decoder, ProtocolError, request
from csp.resp.encode import Argument

RECEIVE_BYTES = 256 * 1024
RETRY_MS_FIRST = 20
RETRY_MS_MAX = 500
CLOSING_S = 0.5  # for what is unsent when this process ends
CHECK_MS = 1_000  # how often it is looked whose answer is late

_GREETING, _ANSWERED, _REFUSED = (word.encode() for word in (GREETING, ANSWERED, REFUSED))


@dataclass(frozen=True)
class Done:
    """The answer's parts after its kind and number."""

    parts: list[bytes]


@dataclass(frozen=True)
class Fail:
    """An error reply, word first."""

    text: str


@dataclass(frozen=True)
class Broken:
    """No answer: the channel ended, or it took too long; what was asked may have been done."""

    text: str
    is_late: bool = False


@dataclass(frozen=True)
class Absent:
    """Nothing was asked: the other process isn't there, or too much waits for it already."""

    text: str
    is_away: bool = False


Answer = Done | Fail | Broken | Absent
Then = Callable[[Answer], None]


class Loop(Protocol):
    """What an asker needs of the loop it lives in."""

    def add_fd(self, fd: int, callback: Callable[[], None], *, write: bool = False) -> None: ...
    def remove_fd(self, fd: int) -> None: ...
    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> object: ...


@dataclass
class Question:
    """One that was asked and has no answer."""

    then: Then | None  # None: it was told that the answer is late
    checks_left: int


class Asker:
    """One connection to one process, made again whenever it breaks."""

    def __init__(
        self,
        loop: Loop,
        path: str,
        limits: Limits,
        *,
        connected: Callable[[], None] = lambda: None,
        together: bool = False,
    ) -> None:
        self._loop = loop
        self._together = together
        self._is_sending = False  # at the end of the turn
        self._path = path
        self._limits = limits
        self._connected = connected
        self._socket: socket.socket | None = None
        self._write_fd = -1  # a second descriptor, watched while bytes wait
        self._unsent = bytearray()
        self._received = bytearray(RECEIVE_BYTES)  # memory of its own only where it was used
        self._held: dict[int, bytes] = {}  # questions that wait for the greeting
        self._held_bytes = 0
        self._decoder = Decoder()
        self._asked: dict[int, Question] = {}
        self._last = 0
        self._retry_ms = RETRY_MS_FIRST
        self._is_retrying = False
        self._is_closed = False
        self._is_greeted = False
        self._is_given_up = False  # no greeting within the limit: nobody waits for it any more
        self._is_awaited = False  # the limit of the greeting runs
        self._silence = 0  # number of that wait
        self._is_checking = False

    @property
    def in_flight(self) -> int:
        """Questions without an answer yet."""
        return len(self._asked)

    def open(self) -> None:
        """Connects; where nobody listens, tries again later."""
        self._is_retrying = False
        if self._socket is not None or self._is_closed:
            return
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            peer.connect(self._path)
        except OSError:
            peer.close()
            self._retry()
            return
        self._socket = peer
        self._decoder = Decoder()
        self._loop.add_fd(peer.fileno(), self._readable)
        self._await_greeting()

    def close(self) -> None:
        """Ends it for good; open questions are answered as broken.

        What is unsent has CLOSING_S to go out: the last that a process says of its sessions.
        """
        self._is_closed = True
        if self._socket is not None and self._unsent:
            self._socket.settimeout(CLOSING_S)
            with suppress(OSError):
                self._socket.sendall(self._unsent)
        self._break()
        self._refuse_held("this process ends")

    def ask(
        self, verb: str, *arguments: Argument, then: Then, within_ms: int | None = None
    ) -> None:
        """Sends a question; `then` gets its answer later, or now where nothing was asked.

        `within_ms` is for what takes longer than the limit of the channel.
        """
        if self._socket is None and not self._is_retrying:
            self.open()
        if self._socket is None or self._is_given_up:
            then(Absent("the process that decides it is being restarted", is_away=True))
            return
        unsent = len(self._unsent) + self._held_bytes
        is_full = unsent > self._limits.unsent_questions_bytes
        if is_full or self.in_flight >= self._limits.in_flight:
            then(Absent(f"{len(self._asked)} requests are waiting already"))
            return
        question = request(verb, self._last + 1, *arguments)
        if len(question) > self._limits.question_bytes:
            size, most = len(question), self._limits.question_bytes
            then(Fail(TooBig(f"{size} bytes where {most} are allowed").line))
            return
        self._last += 1
        checks = (within_ms or self._limits.answer_ms) // CHECK_MS + 1
        self._asked[self._last] = Question(then, checks)
        self._check_later()
        if self._is_greeted:
            self._unsent += question
            self._send_soon()
        else:
            self._held[self._last] = question
            self._held_bytes += len(question)

    # The wait for the greeting, and for answers.

    def _await_greeting(self) -> None:
        if self._is_awaited or self._is_given_up:
            return  # who dies at each start is not waited for anew at each
        self._is_awaited = True
        self._silence += 1
        number = self._silence
        self._loop.call_later(self._limits.greeting_ms, lambda: self._give_up(number))

    def _give_up(self, number: int) -> None:
        if number == self._silence and self._is_awaited and not self._is_closed:
            self._is_awaited = False
            self._is_given_up = True
            seconds = self._limits.greeting_ms // 1000
            self._refuse_held(f"the process that decides it has not served for {seconds} s")

    def _refuse_held(self, text: str) -> None:
        held, self._held, self._held_bytes = self._held, {}, 0
        for number in held:
            question = self._asked.pop(number)
            if question.then is not None:
                question.then(Absent(text, is_away=True))

    def _greeted(self) -> None:
        self._is_greeted = True
        self._is_awaited = self._is_given_up = False
        for question in self._held.values():
            self._unsent += question
        self._held.clear()
        self._held_bytes = 0
        self._connected()
        self._send()

    def _check_later(self) -> None:
        if not self._is_checking:
            self._is_checking = True
            self._loop.call_later(CHECK_MS, self._check)

    def _check(self) -> None:
        """Tells whoever has waited too long.  A question that is held has the greeting's limit."""
        self._is_checking = False
        for number, question in list(self._asked.items()):
            if number in self._held or question.then is None:
                continue
            question.checks_left -= 1
            if question.checks_left <= 0:
                then, question.then = question.then, None  # its place is kept: it may still come
                then(Broken("no answer came in time", is_late=True))
        if self._asked and not self._is_closed:
            self._check_later()

    # The socket.

    def _send_soon(self) -> None:
        if not self._together:
            self._send()
        elif not self._is_sending:
            self._is_sending = True
            self._loop.call_later(0, self._send_together)

    def _send_together(self) -> None:
        self._is_sending = False
        self._send()

    def _send(self) -> None:
        if self._socket is None or not self._unsent:
            return
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            # Its end is read in the next turn, after the answers that still came.
            return
        del self._unsent[:sent]
        self._watch_writable(bool(self._unsent))

    def _watch_writable(self, wanted: bool) -> None:
        if wanted and self._write_fd < 0 and self._socket is not None:
            self._write_fd = os.dup(self._socket.fileno())
            self._loop.add_fd(self._write_fd, self._send, write=True)
        elif not wanted and self._write_fd >= 0:
            self._loop.remove_fd(self._write_fd)
            os.close(self._write_fd)
            self._write_fd = -1

    def _readable(self) -> None:
        if self._socket is None:
            return
        try:
            count = self._socket.recv_into(self._received)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self._break()
            return
        self._retry_ms = RETRY_MS_FIRST
        with memoryview(self._received) as view:
            self._decoder.feed(view[:count])
        try:
            for frame in self._decoder:
                self._take(frame)
        except ProtocolError:
            self._break()

    def _take(self, frame: object) -> None:
        if not isinstance(frame, list) or len(frame) < 2:
            raise ProtocolError(f"not an answer: {frame!r}"[:200])
        kind, asked, *parts = frame
        if not isinstance(asked, bytes) or not asked.isdigit():
            raise ProtocolError("an answer without its number")
        if kind == _GREETING and not self._is_greeted:
            self._greeted()
            return
        question = self._asked.pop(int(asked), None)
        if question is None:
            raise ProtocolError(f"an answer to {asked!r}, which was not asked")
        if kind == _ANSWERED:
            answer: Answer = Done(parts)
        elif kind == _REFUSED and parts and isinstance(parts[0], bytes):
            answer = Fail(parts[0].decode("utf-8", "replace"))
        else:
            raise ProtocolError(f"an answer of kind {kind!r}")
        if question.then is not None:
            question.then(answer)

    def _break(self) -> None:
        self._watch_writable(False)
        if self._socket is not None:
            self._loop.remove_fd(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._unsent.clear()
        self._is_greeted = False
        # What is held was never sent: it waits on for the successor.
        asked, self._asked = self._asked, {}
        self._asked |= {number: asked.pop(number) for number in self._held}
        for question in asked.values():
            if question.then is not None:
                question.then(Broken("the process that decides it ended meanwhile"))
        if not self._is_closed:
            self._await_greeting()
            self._retry()

    def _retry(self) -> None:
        if not self._is_closed and not self._is_retrying:
            self._is_retrying = True
            self._loop.call_later(self._retry_ms, self.open)
            self._retry_ms = min(self._retry_ms * 2, RETRY_MS_MAX)
