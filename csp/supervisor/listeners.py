"""Binds the client port: one listening socket per worker, all owned by the supervisor.

1. A socket is created once and never closed before the stop, so what waits in the queue of a dead
   worker is served by its replacement.
2. The first socket is bound without SO_REUSEPORT: a port that anybody else listens on is refused,
   even if the other one would share it.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

BACKLOG = 4096  # a whole site's desktops reconnect at once; the kernel caps it at somaxconn
PORT_MAX = 65_535


class PortTaken(Exception):
    """The address can't be listened on; the text says why."""


@dataclass(frozen=True)
class Address:
    """HOST:PORT of a listener; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Reads HOST:PORT, [V6]:PORT or :PORT (all addresses)."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > PORT_MAX:
        raise ValueError(f"{text!r} is not HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif "[" in host or "]" in host:
        raise ValueError(f"{text!r} is not HOST:PORT")
    elif ":" in host:
        raise ValueError(f"{text!r}: write an IPv6 address in brackets, [{host}]:{port}")
    return Address(host or "0.0.0.0", int(port))


def bind_listeners(address: Address, count: int) -> list[socket.socket]:
    """Opens `count` sockets on one port; raises PortTaken."""
    try:
        family, _, _, _, name = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise PortTaken(f"cannot listen on {address}: {error.strerror}") from None
    sockets: list[socket.socket] = []
    try:
        for index in range(count):
            listener = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if index:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(name)
            if not index:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                name = listener.getsockname()  # port 0 has become a number
            listener.setblocking(False)
        for listener in sockets:
            listener.listen(BACKLOG)
    except OSError as error:
        for listener in sockets:
            listener.close()
        raise PortTaken(f"cannot listen on {address}: {error.strerror}") from None
    return sockets


def address_of(listener: socket.socket) -> Address:
    """Where a listener is bound."""
    name = listener.getsockname()
    return Address(str(name[0]), int(name[1]))
