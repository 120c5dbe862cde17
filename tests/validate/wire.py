"""One connection as it is on the wire: replies and pushes in the order in which they came."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from csp.resp import MORE, Decoder, ErrorReply, ProtocolError, Push, request
from tests.neighbours.server import PASSWORD

CONNECT_SECONDS = 3.0
REPLY_SECONDS = 8.0  # beyond a server's longest pause; then the peer counts as gone
RECEIVE_BYTES = 1 << 18

Word = str | int | bytes


class Lost(Exception):
    """The connection broke, or nothing came on it in time."""


class Wire:
    """A connection that is signed in; in RESP2 a push looks as a reply does."""

    def __init__(
        self, address: tuple[str, int], secret: str = PASSWORD, *, protocol: int = 3
    ) -> None:
        try:
            self._socket = socket.create_connection(address, CONNECT_SECONDS)
        except OSError as problem:
            raise Lost(str(problem)) from problem
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._decoder = Decoder()
        self.early: list[Push] = []  # that came while `call` waited for its reply
        try:
            self.call("HELLO", protocol, "AUTH", "default", secret)
        except BaseException:
            self.close()
            raise

    def send(self, *commands: Sequence[Word]) -> None:
        """Sends commands in one piece."""
        try:
            self._socket.sendall(b"".join(request(*words) for words in commands))
        except OSError as problem:
            raise Lost(str(problem)) from problem

    def next(self, seconds: float = REPLY_SECONDS) -> Any:
        """The next reply or push; None after so many seconds without one."""
        end = time.monotonic() + seconds
        while True:
            try:
                value = self._decoder.next()
            except ProtocolError as problem:
                raise AssertionError(f"no RESP: {problem}") from problem
            if value is not MORE:
                return value
            left = end - time.monotonic()
            if not self._poll.poll(max(0.0, left) * 1_000):
                return None
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except OSError as problem:
                raise Lost(str(problem)) from problem
            if not data:
                raise Lost("closed")
            self._decoder.feed(data)

    def call(self, *words: Word) -> Any:
        """The reply to one command; pushes before it are put aside. An error reply is raised."""
        self.send(words)
        return self.reply()

    def reply(self) -> Any:
        """The next reply; an error is raised."""
        while True:
            value = self.next()
            if value is None:
                raise Lost(f"no reply for {REPLY_SECONDS:g} s")
            if isinstance(value, Push):
                self.early.append(value)
            elif isinstance(value, ErrorReply):
                raise Refused(value.word, str(value))
            else:
                return value

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()


class Refused(Exception):
    """An error reply."""

    def __init__(self, word: str, text: str) -> None:
        self.word = word
        super().__init__(text)


def words_of(value: object) -> list[str]:
    """The words of a reply, as text."""
    assert isinstance(value, list | Push)
    return [one.decode() if isinstance(one, bytes) else str(one) for one in value]
