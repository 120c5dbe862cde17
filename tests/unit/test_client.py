"""The client against a server of a few lines: signing in, long pipelines, pushes, lost links."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from csp.client import (
    Address,
    CannotConnect,
    Client,
    ConnectionLost,
    Credentials,
    Gap,
    Notice,
    Tls,
    parse_address,
    subscription,
)
from csp.client.address import servers_of
from csp.client.core import Core
from csp.client.steps import Open, Pause, Step
from csp.client.subscription import subscribe_request
from csp.errors import BadValue, CspError, NoPerm, UnknownOutcome, WrongPass
from csp.resp import Decoder, encode
from tests.neighbours.either_client import KINDS, Clients
from tests.neighbours.waiting import wait_until

Answer = Callable[[list[bytes]], bytes | None]  # None: close


class Server:
    """Answers each command of each connection by a function."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self.listener.getsockname())
        self.connections = 0
        self.ended = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with peer:
                self.serve(peer)
            self.ended += 1

    def serve(self, peer: socket.socket) -> None:
        decoder = Decoder()
        while data := peer.recv(1 << 16):
            decoder.feed(data)
            for command in decoder:
                assert isinstance(command, list)
                reply = self.answer(command)  # type: ignore[arg-type]
                if reply is None:
                    return
                peer.sendall(reply)


def usual(command: list[bytes]) -> bytes | None:
    """Signs in with the password `right`, and knows a few words."""
    match command[0]:
        case b"HELLO":
            if b"AUTH" in command and command[-1] != b"right":
                return b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
            return encode({"server": "redis", "proto": 3}, 3)
        case b"CLIENT":
            return b"+OK\r\n"
        case b"ECHO":
            return encode(command[1], 3)
        case b"BAD":
            return b"-BADVALUE name: too long\r\n"
        case b"SUBSCRIBE":
            confirmed = b">3\r\n$9\r\nsubscribe\r\n$3\r\ncfg\r\n:1\r\n"
            return confirmed + b'>3\r\n$7\r\nmessage\r\n$3\r\ncfg\r\n$14\r\n{"op":"fresh"}\r\n'
        case b"CLOSE":
            return None
    return b"-ERR unknown command\r\n"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(usual)
    yield server
    server.listener.close()


def client_of(server: Server, password: str = "right", reconnect_seconds: float = 0.0) -> Client:
    credentials = Credentials("default", password)
    return Client(server.address, credentials, reconnect_seconds=reconnect_seconds)


def test_errors_have_the_class_of_their_word(server: Server) -> None:
    with client_of(server) as client:
        with pytest.raises(BadValue, match="name: too long"):
            client.call("BAD")
        with pytest.raises(CspError, match="unknown command"):
            client.call("WHAT")
        assert client.call("ECHO", "ж") == "ж".encode()


def test_a_wrong_password_is_told_and_not_shown(server: Server) -> None:
    client = client_of(server, "wrong")
    with pytest.raises(WrongPass):
        client.call("ECHO", "x")
    assert "wrong" not in repr(client.credentials)


def test_a_pipeline_larger_than_all_buffers(server: Server) -> None:
    text = b"x" * 10_000
    with client_of(server) as client:
        replies = client.pipeline([("ECHO", text)] * 2_000)
        assert replies == [text] * 2_000
        assert isinstance(client.pipeline([("BAD",)])[0], BadValue)


def test_pushes_come_beside_replies(server: Server) -> None:
    with client_of(server) as client:
        client.opened().send(subscribe_request(["cfg"]))
        listening = client.opened().listen(10.0)
        pushes = [next(listening), next(listening)]
        assert [push[0] for push in pushes] == [b"subscribe", b"message"]
        assert client.call("ECHO", "after") == b"after"


@pytest.mark.parametrize("kind", KINDS)
def test_a_subscription_notices_a_peer_that_is_gone_without_a_word(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pings: list[int] = []

    def silent_at_first(command: list[bytes]) -> bytes | None:
        if command[0] != b"PING":
            return usual(command)
        pings.append(server.connections)
        return b"" if server.connections == 1 else b"+PONG\r\n"

    server = Server(silent_at_first)
    clients = Clients(kind)
    monkeypatch.setattr(subscription, "KEEPALIVE_SECONDS", 0.02)
    monkeypatch.setattr(subscription, "ALIVE_SECONDS", 0.1)
    client = clients(server.address, Credentials("default", "right"), reconnect_seconds=5.0)
    with client.subscribe("cfg") as changes:
        assert isinstance(changes.next(5.0), Notice)
        gap = changes.next(5.0)
        assert isinstance(gap, Gap)
        assert "no reply for 0.1 s" in gap.why
        assert isinstance(changes.next(5.0), Notice)
        assert changes.next(0.1) is None  # the new peer answers
    assert pings[:2] == [1, 2]
    clients.close()
    server.listener.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_that_no_server_has_is_a_gap(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins anew with what is there; notices that nobody asked for are kept back."""
    asked: list[list[bytes]] = []

    def forgets(command: list[bytes]) -> bytes | None:
        match command[0]:
            case b"PING":
                return None if server.connections == 1 else b"+PONG\r\n"
            case b"CFG.FROM":
                asked.append(command[1:4])
                if command[1] == b"NOW":
                    return encode([b"cfg.from", 7, b"00000000000000aa"], 3)
                return b"-RESYNC the log does not go on from revision 8\r\n"
            case b"SUBSCRIBE" if len(asked) == 1:
                bookmark = b'{"op":"bookmark","revision":8,"mark":"00000000000000bb"}'
                return (usual(command) or b"") + notice(b'{"op":"stale"}') + notice(bookmark)
        return usual(command)

    def notice(payload: bytes) -> bytes:
        return b">" + encode([b"message", b"cfg.notice", payload], 3)[1:]

    server = Server(forgets)
    monkeypatch.setattr(subscription, "KEEPALIVE_SECONDS", 0.05)
    clients = Clients(kind)
    client = clients(server.address, Credentials("default", "right"), reconnect_seconds=5.0)
    with client.subscribe("cfg") as changes:
        assert isinstance(changes.next(5.0), Notice)  # of the usual server, on `cfg`
        gap = changes.next(5.0)
        assert isinstance(gap, Gap)
        assert gap.why == "the log does not go on from revision 8"
        assert isinstance(changes.next(5.0), Notice)
    assert asked[0][0] == b"NOW"
    assert asked[1:] == [[b"8", b"MARK", b"00000000000000bb"], asked[0]]
    clients.close()
    server.listener.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_subscription_that_is_refused_leaves_no_connection(kind: str) -> None:
    def refusing(command: list[bytes]) -> bytes | None:
        return b"-NOPERM not yours\r\n" if command[0] == b"SUBSCRIBE" else usual(command)

    server = Server(refusing)
    clients = Clients(kind)
    client = clients(server.address, Credentials("default", "right"))
    refused = client.subscribe("cfg")
    with pytest.raises(NoPerm), refused:
        pass
    wait_until(lambda: server.ended == 1, what="the connection is closed")
    clients.close()
    server.listener.close()


def test_a_read_is_sent_again_after_a_lost_link_and_a_write_is_not() -> None:
    closed = []

    def once(command: list[bytes]) -> bytes | None:
        if command[0] == b"GET" and not closed:
            closed.append(command)
            return None
        return encode(b'{"DBID":1}', 3) if command[0] == b"GET" else usual(command)

    server = Server(once)
    with client_of(server, reconnect_seconds=5.0) as client:
        assert client.get("CfgPerson", 1) == {"DBID": 1}
        assert server.connections == 2
        with pytest.raises(ConnectionLost):
            client.call("CLOSE")
    server.listener.close()


def test_a_reply_that_is_lost_twice_is_not_asked_for_for_ever() -> None:
    def losing(command: list[bytes]) -> bytes | None:
        if command[0] == b"CFG.OUTCOME":
            return encode(b"committed 7", 3)
        return None if command[0] == b"CFG.CREATE" else usual(command)

    server = Server(losing)
    with (
        client_of(server, reconnect_seconds=5.0) as client,
        pytest.raises(UnknownOutcome, match="done at revision 7"),
    ):
        client.create("CfgSkill", {"name": "x"})
    assert server.connections == 2
    server.listener.close()


def test_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(*listener.getsockname())
    with pytest.raises(CannotConnect, match="no connection to"):
        Client(address, None, reconnect_seconds=0).call("PING")


def test_connecting_is_tried_again_for_a_while() -> None:
    now = 0.0
    addresses = [Address("one", 1), Address("two", 2)]
    core = Core(
        addresses,
        None,
        name="",
        reconnect_seconds=30.0,
        outcome_seconds=0.0,
        is_open=lambda: False,
        clock=lambda: now,
    )
    steps = core.connect()
    tried: list[Address] = []
    pauses: list[float] = []
    step: Step | None = next(steps)
    while step is not None:
        try:
            if isinstance(step, Open):
                tried.append(step.address)
                step = steps.throw(CannotConnect("nobody there"))
                continue
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                now += step.seconds
            step = steps.send(None)
        except CannotConnect:
            step = None
    assert tried == addresses * (len(pauses) + 1)
    assert len(pauses) >= 5
    assert 15.0 < sum(pauses) <= 30.0
    for attempt, pause in enumerate(pauses):
        usual_pause = min(5.0, 0.2 * 2**attempt)
        assert 0.5 * usual_pause <= pause <= 1.5 * usual_pause


@pytest.mark.parametrize("text", ["host", "host:", ":1", "host:0", "host:65536", "::1:2020"])
def test_addresses_that_are_wrong(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST|port|IPv6"):
        parse_address(text)


def test_addresses() -> None:
    assert parse_address("[::1]:2020") == ("::1", 2020)
    assert str(parse_address("[::1]:2020")) == "[::1]:2020"
    assert parse_address("localhost:1") == ("localhost", 1)


def test_an_address_may_say_that_it_is_by_tls() -> None:
    assert servers_of("rediss://[::1]:2020", None) == ([("::1", 2020)], Tls())
    assert servers_of("redis://one:1/", None) == ([("one", 1)], None)
    assert servers_of(["rediss://one:1", ("two", 2)], None) == ([("one", 1), ("two", 2)], Tls())
    own = Tls(ca="ca.pem")
    assert servers_of([Address("one", 1), "two:2"], own) == ([("one", 1), ("two", 2)], own)


def test_tls_is_spoken_to_all_servers_or_to_none() -> None:
    with pytest.raises(ValueError, match="all servers of a client"):
        servers_of(["rediss://one:1", "redis://two:2"], None)
    with pytest.raises(ValueError, match="all servers of a client"):
        servers_of("redis://two:2", Tls())


def test_an_address_shows_no_password_that_was_put_into_it() -> None:
    with pytest.raises(ValueError, match="has no user and password") as found:
        servers_of("rediss://ann:geheim@one:1", None)
    assert "geheim" not in str(found.value)


def test_a_key_comes_with_its_certificate() -> None:
    with pytest.raises(ValueError, match="a key without its certificate"):
        Tls(key="own.key")
