"""Asks another process of the same server over a Unix socket, never waiting for the answer.

1. Every question gets exactly one answer: Done, Fail, or Broken when the channel ended meanwhile.
2. The socket is non-blocking: what it doesn't take now goes when it is writable again.
3. At most `in_flight_max` questions and `unsent_max` bytes wait; one more is refused at once.
4. A channel that broke connects again by itself, at once and then with growing delays.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from csp.resp import Decoder, ProtocolError, request
from csp.resp.encode import Argument

IN_FLIGHT_MAX = 10_000
UNSENT_BYTES_MAX = 256 * 1024 * 1024  # four of the largest transactions
RECEIVE_BYTES = 256 * 1024
RETRY_MS_FIRST = 20
RETRY_MS_MAX = 500


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
    """The channel ended before the answer came; what was asked may have been done."""


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


class Asker:
    """One connection to one process, made again whenever it breaks."""

    def __init__(
        self,
        loop: Loop,
        path: str,
        *,
        connected: Callable[[], None] = lambda: None,
        in_flight_max: int = IN_FLIGHT_MAX,
        unsent_max: int = UNSENT_BYTES_MAX,
    ) -> None:
        self._loop = loop
        self._path = path
        self._connected = connected
        self._in_flight_max = in_flight_max
        self._unsent_max = unsent_max
        self._socket: socket.socket | None = None
        self._write_fd = -1  # a second descriptor, watched while bytes wait
        self._unsent = bytearray()
        self._decoder = Decoder()
        self._asked: dict[int, Then] = {}
        self._last = 0
        self._retry_ms = RETRY_MS_FIRST
        self._retrying = False
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Questions without an answer yet."""
        return len(self._asked)

    def open(self) -> None:
        """Connects; where nobody listens, tries again later."""
        self._retrying = False
        if self._socket is not None or self._closed:
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
        self._connected()

    def close(self) -> None:
        """Ends it for good; open questions are answered as broken."""
        self._closed = True
        self._break()

    def ask(self, verb: str, *arguments: Argument, then: Then) -> None:
        """Sends a question; `then` gets its answer later, or now where nothing was asked."""
        if self._socket is None and not self._retrying:
            self.open()
        if self._socket is None:
            then(Absent("the process that decides it is being restarted", is_away=True))
            return
        full = len(self._unsent) > self._unsent_max
        if full or self.in_flight >= self._in_flight_max:
            then(Absent(f"{len(self._asked)} requests are waiting already"))
            return
        self._last += 1
        self._asked[self._last] = then
        self._unsent += request(verb, self._last, *arguments)
        self._send()

    def _send(self) -> None:
        if self._socket is None:
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
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._break()
            return
        self._retry_ms = RETRY_MS_FIRST
        self._decoder.feed(data)
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
        then = self._asked.pop(int(asked), None)
        if then is None:
            raise ProtocolError(f"an answer to {asked!r}, which was not asked")
        if kind == b"DONE":
            then(Done(parts))
        elif kind == b"FAIL" and parts and isinstance(parts[0], bytes):
            then(Fail(parts[0].decode("utf-8", "replace")))
        else:
            raise ProtocolError(f"an answer of kind {kind!r}")

    def _break(self) -> None:
        self._watch_writable(False)
        if self._socket is not None:
            self._loop.remove_fd(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._unsent.clear()
        asked, self._asked = self._asked, {}
        for then in asked.values():
            then(Broken())
        if not self._closed:
            self._retry()

    def _retry(self) -> None:
        if not self._closed and not self._retrying:
            self._retrying = True
            self._loop.call_later(self._retry_ms, self.open)
            self._retry_ms = min(self._retry_ms * 2, RETRY_MS_MAX)
