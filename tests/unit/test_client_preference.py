"""A client goes back to an earlier address when a server has answered there for a while."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from csp.client import Address, Change, Credentials, Gap, Notice, preference
from csp.resp import encode
from csp.resp.values import Push
from tests.neighbours.either_client import KINDS, Clients
from tests.neighbours.waiting import wait_until
from tests.unit.test_client import Answer, Server, usual


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preference, "RETURN_SECONDS", 0.3)
    monkeypatch.setattr(preference, "BETWEEN_SECONDS", 0.05)
    monkeypatch.setattr(preference, "AWAY_SECONDS", 0.05)


@pytest.fixture(params=KINDS)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    made = Clients(request.param)
    yield made
    made.close()


class Crowded(Server):
    """One that serves its connections side by side, at a port that is known before."""

    def __init__(self, answer: Answer, port: int = 0) -> None:
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", port))
        self.address = Address(*self.listener.getsockname())
        self.connections = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve_one, args=(peer,), daemon=True).start()

    def _serve_one(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            self.serve(peer)


class Places:
    """Two servers that say who they are; the first is away until it is told to come."""

    def __init__(self) -> None:
        self.pong = b"+PONG\r\n"
        self.second = Crowded(lambda command: self.answer(b"second", command))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.address = ("127.0.0.1", taken.getsockname()[1])
        self.first: Crowded | None = None
        self.froms: list[list[bytes]] = []

    def answer(self, name: bytes, command: list[bytes]) -> bytes | None:
        match command[0]:
            case b"WHO":
                return encode(name, 3)
            case b"PING":
                return self.pong
            case b"CFG.SYNC":
                return b":7\r\n"
            case b"CFG.FROM":
                self.froms.append([name, *command])
                return encode([b"cfg.from", 5, b"00000000000000aa"], 3)
            case b"SUBSCRIBE":
                revision = 6 if name == b"second" else 7
                change = {"op": "delete", "class": "CfgSkill", "DBID": 1, "revision": revision}
                message = Push([b"message", b"cfg", orjson.dumps(change)])
                return encode(Push([b"subscribe", b"cfg", 1]), 3) + encode(message, 3)
        return usual(command)

    def come(self) -> None:
        """The first is there."""
        self.first = Crowded(lambda command: self.answer(b"first", command), port=self.address[1])

    def go(self) -> None:
        assert self.first is not None
        self.first.listener.close()
        self.first = None

    def client(self, clients: Clients, **options: Any) -> Any:
        addresses = [self.address, self.second.address]
        who = Credentials("default", "right")
        return clients(
            addresses, who, **({"prefer_first": True, "reconnect_seconds": 5.0} | options)
        )

    def close(self) -> None:
        for one in (self.first, self.second):
            if one is not None:
                one.listener.close()


@pytest.fixture
def places() -> Iterator[Places]:
    made = Places()
    yield made
    made.close()


def test_calls_go_back_to_the_first_when_it_is_there_for_long(
    clients: Clients, places: Places
) -> None:
    client = places.client(clients)
    assert client.call("WHO") == b"second"
    places.come()
    assert client.call("WHO") == b"second"
    wait_until(lambda: client.call("WHO") == b"first", 5, "it goes back")


def test_a_subscription_goes_back_without_a_gap(clients: Clients, places: Places) -> None:
    client = places.client(clients)
    with client.subscribe("cfg") as changes:
        told = [changes.next(5)]
        places.come()
        told += [changes.next(5)]
    assert [one.revision for one in told if isinstance(one, Change)] == [6, 7]
    assert not [one for one in told if isinstance(one, Gap | Notice)]
    # It went on from what it was told.
    assert [(one[0], one[2]) for one in places.froms][-1] == (b"first", b"5")
    assert client.session.rereads == 0


def test_one_that_comes_and_goes_or_drains_is_not_gone_back_to(
    clients: Clients, places: Places
) -> None:
    client = places.client(clients)
    assert client.call("WHO") == b"second"
    places.pong = b"-LOADING draining\r\n"
    places.come()
    for _ in range(20):
        assert client.call("WHO") == b"second"
        client.call("ECHO", "x" * 1_000)
    places.go()


def test_without_the_option_it_stays(clients: Clients, places: Places) -> None:
    client = places.client(clients, prefer_first=False)
    assert client.call("WHO") == b"second"
    with client.subscribe("cfg") as changes:
        assert changes.next(5).revision == 6
        places.come()
        assert changes.next(0.6) is None
        assert client.call("WHO") == b"second"
    assert places.first is not None
    assert places.first.connections == 0
