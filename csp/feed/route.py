"""How a link reaches a server: where it is, from where the link goes out, and by TLS or not."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass

from csp.process.lookup import Endpoint
from csp.process.source import ANYWHERE, Source
from csp.secure import SecureSocket, Tls

RECEIVE_WINDOW_BYTES = 4 * 1024 * 1024  # the kernel's; keeps a part streaming while one is applied


@dataclass(frozen=True)
class Route:
    """One way to one address of a server."""

    endpoint: Endpoint
    host: str = ""  # as the server is named; its certificate names it too
    tls: Tls | None = None
    source: Source = ANYWHERE
    to_backup: bool = False  # it leads to the master's backup
    to_peer: bool = False  # it leads to the other half of the pair
    rank: int = 0  # of the server that it leads to: 0 is the master, the less the more preferred

    @property
    def server(self) -> tuple[int, bool]:
        """The server that it leads to: its rank, and whether it is the master's backup."""
        return self.rank, self.to_backup

    @property
    def is_other(self) -> bool:
        """Whether it leads to another server than the master that the command line names."""
        return self.to_backup or self.to_peer or self.rank > 0

    def __str__(self) -> str:
        return str(self.endpoint)

    def open(self, number: int) -> socket.socket:
        """A socket that begins to connect, of the link of this number. Raises OSError."""
        family, address = self.endpoint
        kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        opened = socket.socket(family, kind)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_WINDOW_BYTES)
            self.source.bind(opened, to_backup=self.to_backup, number=number)
            code = opened.connect_ex(address)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
        except OSError:
            opened.close()
            raise
        return opened

    def secure(self, connected: socket.socket) -> SecureSocket:
        """TLS over the connected socket, of the files as they are now. Raises OSError."""
        assert self.tls is not None, "it is asked for"
        return SecureSocket(connected, self.tls, self.host)
