"""Over TLS a client gets what it gets in plain text, whatever is cut, waits or lags."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.process.ports import Security
from tests.neighbours.certificates import Authority
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import Raw, command, person
from tests.server.tls_stage import SecureRaw, TlsServer, WireClient, trusting

pytestmark = pytest.mark.needs("openssl")

LARGE_BYTES = 1_500_000
LARGE = 1000  # DBID of the person whose record is so large
PERSONS = [
    *(("CfgPerson", person(dbid)) for dbid in range(1, 200)),
    ("CfgPerson", person(LARGE, userProperties={"s": {"v": "x" * LARGE_BYTES}})),
]
PIPELINE = b"".join(
    [
        command("AUTH", "x"),
        command("GET", "CfgPerson:1"),
        command("GET", "CfgPerson:999999"),
        command("MGET", *(f"CfgPerson:{dbid}" for dbid in range(1, 6))),
        command("NOSUCH", "word"),
        command("ECHO", b"\x16\x03\x01 looks like TLS"),
        b"PING\r\n",
        command("CFG.READ", "CfgPerson", "LIMIT", "3"),
        command("GET", "CfgPerson:7"),
    ]
)
SMALL_BUFFER = 4096


class Both:
    """One server that takes either, and its clients."""

    def __init__(self, server: TlsServer, root: Path) -> None:
        self.server = server
        self.root = root
        self.context = trusting(root)

    def counters(self) -> dict[str, int]:
        return self.server.control.slot_counters(0)

    def wait(self, counter: str, least: int) -> None:
        wait_until(lambda: self.counters()[counter] >= least, what=f"{counter} {least}")

    def is_done(self, commands: int) -> bool:
        """Whether so many were run, or a client was ended that took none of his replies."""
        counters = self.counters()
        return counters["commands"] >= commands or counters["timeouts_output"] > 0

    def connect(self, secure: bool, *, receive_bytes: int = 0) -> Raw:
        if secure:
            return SecureRaw(self.server.port, self.context, receive_bytes=receive_bytes)
        return Raw(self.server.port, receive_bytes)

    def pair(self, *, receive_bytes: int = 0, sign_in: bool = True) -> list[Raw]:
        """A plain client and one that speaks TLS."""
        both = [self.connect(secure, receive_bytes=receive_bytes) for secure in (False, True)]
        for client in both if sign_in else []:
            assert client.call("AUTH", "x") == "OK"
        return both


@contextlib.contextmanager
def serving(authority: Authority, **limits: Any) -> Iterator[Both]:
    server = TlsServer(PERSONS, authority.issue().bundle(), security=Security.AUTO, **limits)
    try:
        yield Both(server, authority.root)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def both(authority: Authority) -> Iterator[Both]:
    with serving(authority) as one:
        yield one


def take(client: Raw, size: int) -> bytes:
    """So many bytes, or all until the end."""
    found = b""
    while len(found) < size:
        data = client.socket.recv(min(1 << 16, size - len(found)))
        if not data:
            break
        found += data
    return found


def plain_replies(both: Both, sent: bytes) -> bytes:
    client = both.connect(secure=False)
    client.send(sent + command("QUIT"))
    return take(client, 1 << 30).removesuffix(b"+OK\r\n")


def test_a_pipeline_is_answered_alike(both: Both) -> None:
    wanted = plain_replies(both, PIPELINE)
    client = both.connect(secure=True)
    client.send(PIPELINE)
    assert take(client, len(wanted)) == wanted
    client.send(command("QUIT"))
    assert take(client, 1 << 20) == b"+OK\r\n"  # with a close_notify: a ragged end would raise


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_pipeline_cut_anywhere_is_answered_alike(both: Both, version: ssl.TLSVersion) -> None:
    """The ciphertext in two pieces; the first is taken before the second comes."""
    wanted = plain_replies(both, PIPELINE)
    context = trusting(both.root, minimum_version=version, maximum_version=version)
    client = WireClient(both.server.port, context)
    client.shake()
    cut, size = 1, 2
    while cut < size:
        data = client.encrypt(PIPELINE)
        size = len(data)
        taken = both.counters()["bytes_in"] + cut
        client.socket.sendall(data[:cut])
        both.wait("bytes_in", taken)
        client.socket.sendall(data[cut:])
        assert client.read(len(wanted)) == wanted, f"cut at {cut}"
        cut += 1


def test_byte_by_byte_from_the_hello_on(both: Both) -> None:
    """Every byte in a segment of its own, the handshake's too."""
    wanted = plain_replies(both, PIPELINE)
    client = WireClient(both.server.port, both.context)

    def trickle() -> None:
        for byte in client.outgoing.read():
            client.socket.sendall(bytes([byte]))

    while not client.step():
        trickle()
        client.pull()
    client.tls.write(PIPELINE)
    trickle()
    assert client.read(len(wanted)) == wanted


def test_records_of_one_byte_are_one_pipeline(both: Both) -> None:
    wanted = plain_replies(both, PIPELINE)
    client = WireClient(both.server.port, both.context)
    client.shake()
    client.socket.sendall(b"".join(client.encrypt(bytes([byte])) for byte in PIPELINE))
    assert client.read(len(wanted)) == wanted


def test_more_than_a_turn_takes_is_answered_alike(both: Both) -> None:
    """Large requests and many small ones, far beyond what one receive brings."""
    long = command("ECHO", b"y" * 900_000)
    sent = command("AUTH", "x") + (long + command("GET", "CfgPerson:3") * 500) * 3
    wanted = plain_replies(both, sent)
    client = both.connect(secure=True)
    client.socket.settimeout(30)
    done: list[bytes] = []
    thread = threading.Thread(target=lambda: done.append(take(client, len(wanted))))
    thread.start()
    client.send(sent)
    thread.join(30)
    assert done == [wanted]


def test_large_replies_reach_a_client_that_takes_little(both: Both) -> None:
    sent = command("AUTH", "x") + command("GET", f"CfgPerson:{LARGE}") * 4 + command("PING")
    wanted = plain_replies(both, sent)
    client = both.connect(secure=True, receive_bytes=SMALL_BUFFER)
    client.send(sent)
    found = b""
    while len(found) < len(wanted):
        found += take(client, min(777, len(wanted) - len(found)))
    assert found == wanted


def test_who_asks_and_does_not_read_is_stalled_and_loses_nothing(authority: Authority) -> None:
    """Back-pressure: requests wait while too much is unsent, over TLS as in plain text."""
    with serving(authority, output_bytes=100_000) as both:
        for client in both.pair(receive_bytes=SMALL_BUFFER):
            client.socket.settimeout(60)
            stalls = both.counters()["stalls"]
            client.send(command("GET", f"CfgPerson:{LARGE}") * 3 + command("PING") * 50)
            both.wait("stalls", stalls + 1)
            texts = client.read_all(53)
            assert [len(text) > LARGE_BYTES for text in texts[:3]] == [True] * 3
            assert texts[3:] == ["PONG"] * 50
        client.close()


def test_who_takes_nothing_of_his_replies_is_ended(authority: Authority) -> None:
    with serving(authority, output_ms=300) as both:
        for client in both.pair(receive_bytes=SMALL_BUFFER):
            ended = both.counters()["timeouts_output"]
            client.send(command("GET", f"CfgPerson:{LARGE}") * 3)
            both.wait("timeouts_output", ended + 1)


def test_what_only_just_does_not_fit_is_watched_too(authority: Authority) -> None:
    """All was encrypted, and the socket did not take the end of it: the client still has to."""
    with serving(authority, output_ms=300) as both:
        client = both.connect(secure=True, receive_bytes=SMALL_BUFFER)
        assert client.call("AUTH", "x") == "OK"
        size = len(client.call("GET", "CfgPerson:1"))
        number = 0
        while both.counters()["timeouts_output"] == 0:  # more GETs each time, until it is full
            number += 1
            assert number * size < 1 << 20
            with contextlib.suppress(ConnectionError):
                client.send(command("GET", "CfgPerson:1") * 50)
            wait_until(lambda: both.is_done(2 + 50 * number), what="answers, or its end")  # noqa: B023


def test_subscribers_are_told_alike(both: Both) -> None:
    clients = both.pair()
    for client in clients:
        assert client.call("SUBSCRIBE", "cfg")[0] == "subscribe"
    for number in range(30):
        changed = person(5, lastName=f"Changed{number}")
        both.server.change(("update", "CfgPerson", changed))
    told = [client.read_all(30) for client in clients]
    assert told[0] == told[1]
    assert "Changed29" in str(told[0][-1])


def test_subscribers_that_lag_are_told_alike(both: Both) -> None:
    """Large messages are cut by full sockets, and those who lag go on from their place."""
    clients = both.pair(receive_bytes=SMALL_BUFFER)
    for client in clients:
        assert client.call("SUBSCRIBE", "cfg")[0] == "subscribe"
    for number in range(12):
        changed = person(LARGE, userProperties={"s": {"v": f"{number}" * 300_000}})
        both.server.change(("update", "CfgPerson", changed))
        both.server.change(("update", "CfgPerson", person(6, lastName=f"Small{number}")))
    told = [client.read_all(24) for client in clients]
    assert told[0] == told[1]
    assert "Small11" in str(told[0][-1])
    both.server.change(
        ("update", "CfgPerson", person(LARGE, userProperties={"s": {"v": "x" * LARGE_BYTES}}))
    )


def test_a_subscriber_that_is_to_go_and_takes_nothing_is_ended(authority: Authority) -> None:
    """He gets what was begun for him, as long as he takes some of it now and then."""
    with serving(authority, output_ms=300) as both:
        clients = both.pair(receive_bytes=SMALL_BUFFER)
        for client in clients:
            assert client.call("SUBSCRIBE", "cfg")[0] == "subscribe"
        for number in range(20):
            changed = person(9, userProperties={"s": {"v": f"{number:03}" * 100_000}})
            both.server.change(("update", "CfgPerson", changed))
        both.wait("buffers", 3)  # both were cut in a message, the one in a record too
        observer = both.connect(secure=False)
        assert observer.call("AUTH", "x") == "OK"
        assert observer.call("END") == "OK"
        both.wait("timeouts_output", 2)


def test_a_subscriber_that_takes_nothing_is_kept(authority: Authority) -> None:
    """Who lags costs nothing, and is told all when he reads: it is no reply that he leaves."""
    with serving(authority, output_ms=200) as both:
        clients = both.pair(receive_bytes=SMALL_BUFFER)
        for client in clients:
            assert client.call("SUBSCRIBE", "cfg")[0] == "subscribe"
        for number in range(20):
            changed = person(9, userProperties={"s": {"v": f"{number:03}" * 100_000}})
            both.server.change(("update", "CfgPerson", changed))
        observer = both.connect(secure=False)
        assert observer.call("AUTH", "x") == "OK"
        for _ in range(5):
            assert observer.call("REST", "100") == "OK"  # longer than output_ms in all
        assert both.counters()["timeouts_output"] == 0
        told = [client.read_all(20) for client in clients]
        assert told[0] == told[1]


def test_who_says_that_he_ends_still_gets_all(both: Both) -> None:
    """close_notify, as the end of a plain client's side, comes behind his requests."""
    wanted = plain_replies(both, PIPELINE)
    client = WireClient(both.server.port, both.context)
    client.shake()
    data = client.encrypt(PIPELINE)
    with contextlib.suppress(ssl.SSLError):
        client.tls.unwrap()
    client.socket.sendall(data + client.outgoing.read())
    received = b""
    while some := client.socket.recv(1 << 16):
        received += some
    # The client's OpenSSL reads no more after its own close_notify: its length has to do.
    assert len(received) > len(wanted)


def test_nothing_is_left_of_clients_that_have_gone(authority: Authority) -> None:
    with serving(authority) as both:
        observer = both.connect(secure=False)
        assert observer.call("AUTH", "x") == "OK"
        idle: dict[str, Any] = eval(observer.call("counters"))
        for reset in (False, True):
            for what in (
                b"",
                PIPELINE,
                command("AUTH", "x") + command("GET", f"CfgPerson:{LARGE}") * 3,
            ):
                client = both.connect(secure=True, receive_bytes=SMALL_BUFFER)
                client.send(what or b"P")
                client.close(reset=reset)
        wait_until(lambda: eval(observer.call("counters")) == idle, what="all is given back")
        assert both.counters()["tls_connections"] == 0
