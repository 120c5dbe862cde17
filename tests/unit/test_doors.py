"""The supervisor's ports for clients: open, shut and bound all the same."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from csp.supervisor.doors import Doors
from csp.supervisor.listeners import Address, PortTaken, bind_listeners

PEER_PORT = {"id": "ha", "transportParams": "ha-sync=1"}


@pytest.fixture
def doors() -> Iterator[Doors]:
    """Two workers, a port for clients and one for the peer."""
    made = Doors(bind_listeners(Address("127.0.0.1", 0), 2), {})
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    made.take({"portInfos": [PEER_PORT | {"port": str(number)}]}, {})
    yield made
    for slot in range(2):
        for listener in made.listeners(slot):
            listener.close()


def number_of(doors: Doors, port: int = 0) -> int:
    return int(doors.ports[port].tcp)


def connect(doors: Doors, port: int = 0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", number_of(doors, port)), timeout=10)


def test_a_shut_port_refuses_at_once_and_the_peers_stays_open(doors: Doors) -> None:
    assert doors.serve(False)
    with pytest.raises(ConnectionRefusedError):
        connect(doors)
    connect(doors, port=1).close()
    assert doors.serve(True)
    connect(doors).close()
    bound = [doors.listeners(slot)[0].getsockname()[1] for slot in range(2)]
    assert bound == [number_of(doors)] * 2


def test_workers_are_told_only_of_what_has_changed(doors: Doors) -> None:
    assert not doors.serve(True)
    assert doors.serve(False)
    assert not doors.serve(False)


def test_who_waited_in_the_queue_is_reset(doors: Doors) -> None:
    with connect(doors) as waiting:
        assert doors.is_waited_for(0) or doors.is_waited_for(1)
        doors.serve(False)
        assert not any(doors.is_waited_for(slot) for slot in range(2))
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)


def test_nobody_else_can_take_a_port_that_is_shut(doors: Doors) -> None:
    for _ in range(2):  # also after it was open again
        doors.serve(False)
        with contextlib.closing(socket.socket()) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", number_of(doors)))
        doors.serve(True)


def test_a_port_that_was_taken_meanwhile_is_told_once_and_opened_later(
    doors: Doors, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a program that shares it on purpose can, so the kernel's word is put in its mouth."""

    def taken(listeners: object) -> None:
        raise PortTaken("cannot listen on it again: in use")

    doors.serve(False)
    with monkeypatch.context() as patched:
        patched.setattr("csp.supervisor.doors.open_again", taken)
        assert not doors.serve(True)
        assert not doors.serve(True)
    assert len([line for line in caplog.messages if "in use" in line]) == 1
    with pytest.raises(ConnectionRefusedError):
        connect(doors)
    assert doors.serve(True)
    connect(doors).close()


def test_a_port_that_comes_while_the_others_are_shut_is_shut_too() -> None:
    doors = Doors(bind_listeners(Address("127.0.0.1", 0), 1), {})
    doors.serve(False)
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    doors.take({"portInfos": [{"id": "more", "port": str(number)}]}, {})
    doors.serve(False)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", number))
    assert doors.serve(True)
    socket.create_connection(("127.0.0.1", number)).close()
    for listener in doors.listeners(0):
        listener.close()
