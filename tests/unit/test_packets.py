"""The network of a namespace: each of its faults is what it says, between two kernels' sockets.

A process enters its namespace for good, so what is looked at here is looked at by one of its own.
"""

from __future__ import annotations

import multiprocessing
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.validate.links import BYTES_A_SECOND
from tests.validate.packets import PacketLink, enter

SHORT = 0.3
LOOKS: dict[str, Callable[[PacketLink, socket.socket], None]] = {}


def look(what: Callable[[PacketLink, socket.socket], None]) -> None:
    LOOKS[what.__name__] = what


def joined(link: PacketLink, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = socket.create_connection((link.host, link.port), 10)
    far, _ = listener.accept()
    far.settimeout(10)
    return near, far


def is_silent(end: socket.socket, seconds: float = SHORT) -> bool:
    return not select.select([end], [], [], seconds)[0]


def is_broken(end: socket.socket) -> bool:
    try:
        return end.recv(100) == b""
    except ConnectionError:
        return True


@look
def a_cut_is_told_to_both(link: PacketLink, listener: socket.socket) -> None:
    near, far = joined(link, listener)
    near.sendall(b"there")
    assert far.recv(100) == b"there"
    link.strike("cut")
    assert is_broken(near)
    assert is_broken(far)
    joined(link, listener)


@look
def what_is_held_arrives_later(link: PacketLink, listener: socket.socket) -> None:
    near, far = joined(link, listener)
    link.strike("hold")
    near.sendall(b"held")
    assert is_silent(far)
    link.go_on()
    assert far.recv(100) == b"held"


@look
def a_half_open_peer_stays_so(link: PacketLink, listener: socket.socket) -> None:
    """Not a byte nor an end arrives, also when new connections pass again."""
    near, far = joined(link, listener)
    link.strike("half-open")
    far.sendall(b"lost")
    assert is_silent(near)
    with suppress(OSError):
        socket.create_connection((link.host, link.port), SHORT)
        raise AssertionError("a new connection came through")
    link.go_on()
    again, there = joined(link, listener)
    again.sendall(b"well")
    assert there.recv(100) == b"well"
    near.close()
    assert is_silent(far, 2.0)
    link.close()
    assert is_broken(far)


@look
def who_is_away_takes_no_connections(link: PacketLink, listener: socket.socket) -> None:
    near, _ = joined(link, listener)
    link.strike("away")
    assert is_broken(near)
    with suppress(TimeoutError):
        socket.create_connection((link.host, link.port), SHORT)
        raise AssertionError("a new connection came through")
    link.go_on()
    joined(link, listener)


@look
def a_throttled_link_is_slow_and_another_is_not(link: PacketLink, listener: socket.socket) -> None:
    other = PacketLink(link.port, 2)
    link.strike("throttle")
    took = []
    for each in (other, link):
        near, far = joined(each, listener)
        data, begun = b"x" * BYTES_A_SECOND, time.monotonic()
        near.sendall(data)
        while len(data) > 0:
            data = data[len(far.recv(1 << 16)) :]
        took.append(time.monotonic() - begun)
    link.go_on()
    assert took[0] < 0.3 < 0.6 < took[1]


def _look(name: str, told: multiprocessing.Queue[tuple[str, str]]) -> None:
    why_not = enter()
    if why_not:
        told.put(("skip", why_not))
        return
    listener = socket.create_server(("0.0.0.0", 0))
    link = PacketLink(listener.getsockname()[1], 1)
    try:
        LOOKS[name](link, listener)
    except Exception as problem:  # noqa: BLE001 - told by the test, which is another process
        told.put(("fault", repr(problem)))
    else:
        told.put(("fine", ""))


@pytest.mark.needs("tc")
@pytest.mark.parametrize("name", LOOKS)
def test_a_namespace_does_to_packets_what_it_is_told(name: str) -> None:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    process = context.Process(target=_look, args=(name, told))
    process.start()
    what, text = told.get(timeout=40)
    process.join(10)
    if what == "skip":
        pytest.skip(text)
    assert what == "fine", text
