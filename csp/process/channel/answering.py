"""Talks with the workers: reads their messages from Unix sockets and queues the answers.

1. A message is an array of strings; a worker that sends anything else is cut off.
2. Writes of one worker are answered in the order in which they came.
3. A worker that does not take its answers is cut off: its clients get "unknown outcome".
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable

from csp.resp import Decoder, ProtocolError, request

RECEIVE_BYTES = 256 * 1024
UNSENT_BYTES_MAX = 64 * 1024 * 1024  # answers are small; a worker that is so far behind is dead
QUEUED_MAX = 100_000  # messages of one worker; beyond, the worker is not read until some are done
QUEUED_BYTES_MAX = 128 * 1024 * 1024  # two of the largest transactions

Message = list[bytes]


class Peer:
    """One worker's connection."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.number = number
        self.socket: socket.socket | None = sock
        self.writes: deque[tuple[Message, int]] = deque()  # WRITE messages and their sizes
        self.write_bytes = 0
        self.unsent = bytearray()
        self.on_ready: Callable[[], None] = lambda: None
        self._decoder = Decoder()

    @property
    def is_full(self) -> bool:
        """Whether more messages have to wait in the socket."""
        return len(self.writes) >= QUEUED_MAX or self.write_bytes >= QUEUED_BYTES_MAX

    def receive(self) -> tuple[list[Message], bool]:
        """The messages that came, and whether the worker is still there."""
        if self.socket is None:
            return [], False
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return [], True
        except ConnectionError:
            return [], False
        self._decoder.feed(data)
        return self._messages(), len(data) > 0

    def queue_write(self, message: Message) -> None:
        """Holds a WRITE until its turn."""
        size = sum(len(word) for word in message)
        self.writes.append((message, size))
        self.write_bytes += size

    def next_write(self) -> tuple[Message, int]:
        """The oldest WRITE, which leaves the queue."""
        message, size = self.writes.popleft()
        self.write_bytes -= size
        return message, size

    def answer(self, *words: bytes | str | int) -> None:
        """Queues an answer; `flush` sends it."""
        if self.socket is not None:
            self.unsent += request(*words)

    def flush(self) -> bool:
        """Sends what the socket takes; False if the worker has to be cut off."""
        if self.socket is None or not self.unsent:
            return self.socket is not None
        try:
            count = self.socket.send(self.unsent)
        except BlockingIOError:
            count = 0
        except ConnectionError:
            return False
        del self.unsent[:count]
        return len(self.unsent) <= UNSENT_BYTES_MAX

    def close(self) -> None:
        """Ends the connection; answers that are still to come go nowhere."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        self.unsent.clear()

    def _messages(self) -> list[Message]:
        found: list[Message] = []
        for value in self._decoder:
            if not isinstance(value, list) or len(value) < 2:
                raise ProtocolError(f"a message that is not an array of strings: {value!r:.80}")
            words = [word for word in value if isinstance(word, bytes)]
            if len(words) != len(value):
                raise ProtocolError("a message with something else than strings")
            found.append(words)
        return found


class Listener:
    """The Unix socket that workers connect to; the supervisor owns its name."""

    def __init__(self, fd: int, on_accept: Callable[[Peer], None]) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._on_accept = on_accept
        self._count = 0

    def fileno(self) -> int:
        """For the selector."""
        return self._socket.fileno()

    def accept(self) -> None:
        """Takes in all who wait."""
        while True:
            try:
                accepted, _ = self._socket.accept()
            except BlockingIOError:
                return
            accepted.setblocking(False)
            self._count += 1
            self._on_accept(Peer(accepted, self._count))

    def detach(self) -> None:
        """Lets the descriptor go without closing it: the supervisor's other children share it."""
        self._socket.detach()
