"""The link that goes wrong when told to: each of its faults is what it says."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

import pytest

from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.waiting import wait_until

SHORT = 0.2


class Ends:
    """A link, what connects through it and what was accepted behind it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.link = CuttingLink(self.listener.getsockname()[1])
        self.near, self.far = self.joined()

    def joined(self) -> tuple[socket.socket, socket.socket]:
        near = socket.create_connection(("127.0.0.1", self.link.port))
        far, _ = self.listener.accept()
        for end in (near, far):
            end.settimeout(10)
        return near, far


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.link.close()
    for one in (made.listener, made.near, made.far):
        one.close()


def is_silent(end: socket.socket) -> bool:
    return not select.select([end], [], [], SHORT)[0]


def test_bytes_pass_both_ways_and_a_cut_is_told_to_both(ends: Ends) -> None:
    ends.near.sendall(b"there")
    assert ends.far.recv(100) == b"there"
    ends.far.sendall(b"back")
    assert ends.near.recv(100) == b"back"
    ends.link.cut()
    assert (ends.near.recv(100), ends.far.recv(100)) == (b"", b"")


def test_what_is_held_arrives_later(ends: Ends) -> None:
    ends.link.hold()
    ends.near.sendall(b"held")
    assert is_silent(ends.far)
    ends.link.go_on()
    assert ends.far.recv(100) == b"held"


def test_half_open_drops_all_for_good_and_tells_nobody(ends: Ends) -> None:
    ends.link.drop()
    ends.near.sendall(b"lost")
    assert is_silent(ends.far)
    other_near, other_far = ends.joined()  # made while all is dropped
    other_near.sendall(b"lost too")
    assert is_silent(other_far)
    ends.link.go_on()
    ends.near.sendall(b"lost still")
    ends.near.close()
    assert is_silent(ends.far)
    new_near, new_far = ends.joined()
    new_near.sendall(b"arrives")
    assert new_far.recv(100) == b"arrives"
    for one in (other_near, other_far, new_near, new_far):
        one.close()


def test_delay_and_throttle_take_their_time(ends: Ends) -> None:
    ends.link.delay_seconds = SHORT
    began = time.monotonic()
    ends.near.sendall(b"late")
    assert ends.far.recv(100) == b"late"
    assert time.monotonic() - began >= SHORT
    ends.link.go_on()
    ends.link.bytes_a_second = 1_000
    began = time.monotonic()
    ends.near.sendall(bytes(300))
    assert ends.far.recv(1_000)
    assert time.monotonic() - began >= 0.3


def test_it_keeps_nothing_of_connections_that_ended(ends: Ends) -> None:
    for _ in range(5):
        near, far = ends.joined()
        near.close()
        assert far.recv(100) == b""
        far.close()
    wait_until(lambda: len(ends.link._open) == 1, 10, "the first one is left")


def test_who_connects_while_it_refuses_is_let_go(ends: Ends) -> None:
    ends.link.refuses = True
    with socket.create_connection(("127.0.0.1", ends.link.port)) as refused:
        assert refused.recv(100) == b""
    ends.near.sendall(b"stays")
    assert ends.far.recv(100) == b"stays"
