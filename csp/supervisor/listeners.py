"""Binds a port: each worker gets a listening socket per address, owned by the supervisor.

1. A socket is created once and never closed before the stop, so what waits in the queue of a dead
   worker is served by its replacement.
2. The first socket is bound without SO_REUSEPORT: a port that anybody else listens on is refused,
   even if the other one would share it.
3. A name that stands for several addresses is bound at all of them, on one port; an address that
   this machine hasn't got (localhost without IPv6) is left out while another is there.
4. A port that is shut stays bound and refuses at once; only a program of the same user that asks
   to share it (SO_REUSEPORT) could listen there meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from csp.supervisor.kept_listeners import KeptListeners

BACKLOG = 4096  # a whole site's desktops reconnect at once; the kernel caps it at somaxconn
PORT_MAX = 65_535

Rows = list[list[socket.socket]]  # by worker, one an address


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


def bind_listeners(address: Address, count: int, kept: KeptListeners | None = None) -> Rows:
    """Opens a socket per address for each of `count` workers, all on one port; raises PortTaken.

    What an earlier run left there (`kept`) is taken before another is bound.
    """
    try:
        names = _names_of(address)
    except OSError as error:
        raise PortTaken(f"cannot listen on {address}: {error.strerror}") from None
    return _bind(names, address, count, kept)


def bind_beside(
    listeners: Sequence[socket.socket], port: int, count: int, kept: KeptListeners | None = None
) -> Rows:
    """The same on another port, at the addresses of these listeners; no name is looked up."""
    names = [(one.family, one.getsockname()) for one in listeners]
    return _bind(names, Address(str(names[0][1][0]), port), count, kept)


def _bind(
    names: Sequence[tuple[int, tuple[Any, ...]]],
    address: Address,
    count: int,
    kept: KeptListeners | None,
) -> Rows:
    rows: Rows = [[] for _ in range(count)]
    try:
        port = address.port
        missing: OSError | None = None
        for family, name in names:
            try:
                place = (name[0], port, *name[2:])
                taken = kept.take(family, place, count) if kept else []
                _bind_one(family, place, rows, taken, is_one_of_many=len(names) > 1)
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
                continue
            port = rows[0][-1].getsockname()[1]  # port 0 has become a number
        if not rows[0] and missing is not None:
            raise missing
        for listener in (one for row in rows for one in row):
            listener.listen(BACKLOG)
    except OSError as error:
        for listener in (one for row in rows for one in row):
            listener.close()
        raise PortTaken(f"cannot listen on {address}: {error.strerror}") from None
    return rows


def shut(listeners: Iterable[socket.socket]) -> None:
    """Refuses who connects from now on; who waits in a queue, not yet served, is reset."""
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # or anybody could take it


def open_again(listeners: Sequence[socket.socket]) -> None:
    """Listens on what was shut; raises PortTaken where somebody else does by now."""
    for listener in listeners:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened: list[socket.socket] = []
    try:
        for listener in listeners:
            listener.listen(BACKLOG)
            opened.append(listener)
    except OSError as error:
        shut(opened)
        for listener in listeners:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        where = address_of(listeners[len(opened)])
        raise PortTaken(f"cannot listen on {where} again: {error.strerror}") from None


def _names_of(address: Address) -> list[tuple[int, tuple[Any, ...]]]:
    """Family and address of all that the host's name stands for, each once."""
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys((family, name) for family, _, _, _, name in found))


def _bind_one(
    family: int,
    name: tuple[Any, ...],
    rows: Rows,
    taken: Sequence[socket.socket],
    *,
    is_one_of_many: bool,
) -> None:
    """Has one address for every worker, or for none; those that were taken are bound already."""
    opened: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        for listener in taken:
            opened.append(undo.enter_context(listener))
        for index in range(len(taken), len(rows)):
            listener = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6 and is_one_of_many:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if index:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if not name[1]:
                probe = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
                name = (name[0], _chosen(probe, listener, name), *name[2:])
                probe.close()
            else:
                listener.bind(name)
            if not index:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                name = listener.getsockname()
            opened.append(listener)
        undo.pop_all()
    for row, listener in zip(rows, opened, strict=True):
        listener.setblocking(False)
        row.append(listener)


def _chosen(probe: socket.socket, listener: socket.socket, name: tuple[Any, ...]) -> int:
    """Binds it to a port that the kernel chooses; asked for by number, or a shutting loses it."""
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(name)
    port = int(probe.getsockname()[1])
    listener.bind((name[0], port, *name[2:]))
    return port


def address_of(listener: socket.socket) -> Address:
    """Where a listener is bound."""
    name = listener.getsockname()
    return Address(str(name[0]), int(name[1]))
