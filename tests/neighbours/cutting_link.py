"""A TCP link that goes wrong when told to: it breaks, delays, throttles, holds back, or drops all.

1. What is cut is told to both ends, as a reset; what is half-open is told to none.
2. A half-open connection stays so for good: bytes of it are lost, and TCP would not have lost them
   on a network that came back. What came back is `hold`: all arrives, later.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

CHUNK_BYTES = 1 << 16


@dataclass(eq=False)
class Joint:
    """One connection through the link: its two sockets."""

    client: socket.socket
    server: socket.socket
    is_deaf: bool = False  # all that comes is dropped, and no end is passed on
    swallows: threading.Event = field(default_factory=threading.Event)
    _pumps: int = 2  # that still use the sockets
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def left(self) -> bool:
        """One pump uses the sockets no more; whether that was the last, which closes them."""
        with self._lock:
            self._pumps -= 1
            if self._pumps:
                return False
        self.client.close()
        self.server.close()
        return True

    def end(self) -> None:
        for each in (self.client, self.server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class CuttingLink:
    """Forwards connections of a free port, or of `at`, to a port of this machine."""

    def __init__(self, port: int, at: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(at)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.sent_bytes = 0  # to the server, and back
        self.received_bytes = 0
        self.refuses = False  # new connections are broken at once
        self.delay_seconds = 0.0  # before each piece is passed on
        self.bytes_a_second = 0  # 0: as fast as it goes
        self._passes = threading.Event()  # cleared: everything waits
        self._passes.set()
        self._drops_new = False
        self._open: list[Joint] = []
        self._before = b""
        self._after = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_before(self, word: bytes) -> None:
        """Once: the next request that has the word doesn't arrive."""
        self._before = word

    def cut_after(self, word: bytes) -> None:
        """Once: the next request that has the word arrives, its reply doesn't."""
        self._after = word

    def lead_to(self, port: int) -> None:
        """Present connections break, new ones go there."""
        self._target = ("127.0.0.1", port)
        self.cut()

    def cut(self) -> None:
        """Breaks all present connections."""
        while self._open:
            self._open.pop().end()

    def hold(self) -> None:
        """Passes nothing on until `go_on`; nothing is lost."""
        self._passes.clear()

    def drop(self) -> None:
        """Present and new connections are half-open: no byte and no end arrives any more."""
        self._drops_new = True
        for joint in list(self._open):
            joint.is_deaf = True

    def go_on(self) -> None:
        """All is well again, but for connections that are half-open."""
        self.delay_seconds, self.bytes_a_second = 0.0, 0
        self.refuses = self._drops_new = False
        self._passes.set()

    def close_to_new(self) -> None:
        """Takes no new connections; the present ones stay."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.close_to_new()
        self._passes.set()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuses:
                client.close()
                continue
            self.connections += 1
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()  # nobody listens there: who connects sees it as an end
                continue
            joint = Joint(client, server, is_deaf=self._drops_new)
            self._open.append(joint)
            for pump in (self._requests, self._replies):
                threading.Thread(target=pump, args=(joint,), daemon=True).start()

    def _requests(self, joint: Joint) -> None:
        for data in self._pieces(joint.client, joint):
            if self._before and self._before in data:
                self._before = b""
                break
            if self._after and self._after in data:
                self._after = b""
                joint.swallows.set()
            self.sent_bytes += len(data)
            if not _passed_on(data, joint.server):
                break
        self._leave(joint)

    def _replies(self, joint: Joint) -> None:
        for data in self._pieces(joint.server, joint):
            if joint.swallows.is_set():
                break
            self.received_bytes += len(data)
            if not _passed_on(data, joint.client):
                break
        self._leave(joint)

    def _pieces(self, source: socket.socket, joint: Joint) -> Iterator[bytes]:
        """What comes from one end, when it is time to pass it on."""
        while True:
            try:
                data = source.recv(CHUNK_BYTES)
            except OSError:
                return
            if not data:
                self._passes.wait()
                return
            if self.delay_seconds:
                time.sleep(self.delay_seconds)
            if self.bytes_a_second:
                time.sleep(len(data) / self.bytes_a_second)
            self._passes.wait()
            if not joint.is_deaf:
                yield data

    def _leave(self, joint: Joint) -> None:
        """An end, or a break: the other side is told, where anything is told."""
        if not joint.is_deaf:
            joint.end()
        if joint.left():
            with contextlib.suppress(ValueError):
                self._open.remove(joint)


def _passed_on(data: bytes, target: socket.socket) -> bool:
    try:
        target.sendall(data)
    except OSError:
        return False
    return True
