"""A TCP link that breaks when told to: before a command arrives, or before its reply does."""

from __future__ import annotations

import contextlib
import socket
import threading


class CuttingLink:
    """Forwards connections of a free port to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.sent_bytes = 0  # to the server, and back
        self.received_bytes = 0
        self.refuses = False  # new connections are broken at once
        self._open: list[socket.socket] = []
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
            with contextlib.suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def close_to_new(self) -> None:
        """Takes no new connections; the present ones stay."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.close_to_new()
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
            server = socket.create_connection(self._target)
            self._open += [client, server]
            swallows = threading.Event()
            for pump in (self._requests, self._replies):
                arguments = (client, server, swallows)
                threading.Thread(target=pump, args=arguments, daemon=True).start()

    def _requests(
        self, client: socket.socket, server: socket.socket, swallows: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if self._before and self._before in data:
                    self._before = b""
                    break
                if self._after and self._after in data:
                    self._after = b""
                    swallows.set()
                self.sent_bytes += len(data)
                server.sendall(data)
        _end(client, server)

    def _replies(
        self, client: socket.socket, server: socket.socket, swallows: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if swallows.is_set():
                    break
                self.received_bytes += len(data)
                client.sendall(data)
        _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
