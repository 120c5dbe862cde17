"""A worker serves clients that speak TLS, and tells those apart that do not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from csp.process.ports import Security
from tests.neighbours.certificates import Authority, Certificate
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import Raw, command, person
from tests.server.tls_stage import SecureRaw, TlsServer, WireClient, trusting

pytestmark = pytest.mark.needs("openssl")

PERSONS = [("CfgPerson", person(dbid)) for dbid in range(1, 100)]
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> Certificate:
    return authority.issue()


@pytest.fixture
def server(leaf: Certificate) -> Iterator[TlsServer]:
    one = TlsServer(PERSONS, leaf.bundle())
    yield one
    one.stop()


def only(root: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    return trusting(root, minimum_version=version, maximum_version=version)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_get_is_answered_over_each_version(
    server: TlsServer, authority: Authority, version: ssl.TLSVersion
) -> None:
    client = SecureRaw(server.port, only(authority.root, version))
    assert client.secure.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
    assert client.call("AUTH", "x") == "OK"
    assert '"DBID":5' in client.call("GET", "CfgPerson:5")
    assert client.call("GET", "CfgPerson:500") is None
    counters = server.control.slot_counters(0)
    assert (counters["handshakes"], counters["tls_connections"]) == (1, 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_resumed_each_time(
    server: TlsServer, authority: Authority, version: ssl.TLSVersion
) -> None:
    context, session = only(authority.root, version), None
    resumed = []
    for _ in range(5):
        client = SecureRaw(server.port, context, session=session)
        assert client.call("AUTH", "x") == "OK"
        resumed.append(client.secure.session_reused)
        session = client.secure.session
        client.secure.unwrap()
    assert resumed == [False, True, True, True, True]
    assert server.control.slot_counters(0)["handshakes_resumed"] == 4


@pytest.mark.parametrize("comes", [True, False])
def test_who_says_hello_before_the_certificate_was_looked_for_waits(
    leaf: Certificate, authority: Authority, comes: bool
) -> None:
    """As at a server that begins; who speaks plain text is served meanwhile."""
    server = TlsServer(PERSONS, None, security=Security.AUTO, others=[leaf.bundle()])
    plain = server.connect()
    assert plain.call("AWAIT", "1") == "OK"
    context = trusting(authority.root)
    clients = [
        context.wrap_socket(
            socket.create_connection(("127.0.0.1", server.port), timeout=10),
            server_hostname="localhost",
            do_handshake_on_connect=False,
        )
        for _ in range(3)
    ]
    for client in clients:
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.do_handshake()
        client.settimeout(10)
    assert server.connect().call("PING") == "PONG"
    assert server.control.slot_counters(0)["tls_mismatched"] == 0
    assert plain.call(*(("TAKE", "1") if comes else ("AWAIT", "0"))) == "OK"
    for client in clients:
        if comes:
            client.do_handshake()
            client.sendall(command("PING"))
            assert client.recv(100) == b"+PONG\r\n"
        else:
            with pytest.raises(OSError, match=r"EOF|reset"):
                client.do_handshake()
    assert server.control.slot_counters(0)["handshakes"] == (3 if comes else 0)
    server.stop()


def test_either_port_takes_both_and_the_others_only_theirs(
    leaf: Certificate, authority: Authority
) -> None:
    """The first byte decides; who speaks the wrong language is ended at once, and counted."""
    for security, takes_plain, takes_tls in [
        (Security.UNSECURED, True, False),
        (Security.SECURED, False, True),
        (Security.AUTO, True, True),
    ]:
        server = TlsServer(PERSONS, leaf.bundle(), security=security)
        try:
            plain = Raw(server.port)
            if takes_plain:
                assert plain.call("AUTH", "x") == "OK"
            else:
                plain.send(b"PING\r\n")
                assert plain.is_closed()
            context = trusting(authority.root)
            if takes_tls:
                assert SecureRaw(server.port, context).call("AUTH", "x") == "OK"
            else:
                with pytest.raises((ssl.SSLError, ConnectionResetError)):
                    SecureRaw(server.port, context)
            wrong = (not takes_plain) + (not takes_tls)
            assert server.control.slot_counters(0)["tls_mismatched"] == wrong
        finally:
            server.stop()


def test_a_port_without_a_certificate_ends_who_wants_tls(authority: Authority) -> None:
    server = TlsServer(PERSONS, None)
    try:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            SecureRaw(server.port, trusting(authority.root))
        assert server.control.slot_counters(0)["handshakes_failed"] == 1
    finally:
        server.stop()


@pytest.mark.parametrize("cut", [0, 5, 30, 44, 45, 46, 50, 60])
def test_behind_a_balancers_header_tls_begins(
    leaf: Certificate, authority: Authority, cut: int
) -> None:
    """The header is taken exactly, however it comes: what follows is the hello."""
    header = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 2020\r\n"
    balancer = ip_network("127.0.0.0/8")
    server = TlsServer(PERSONS, leaf.bundle(), proxy_from=[balancer], security=Security.SECURED)
    try:
        client = WireClient(server.port, trusting(authority.root))
        client.step()
        data = header + client.outgoing.read()
        turns = server.control.slot_counters(0)["turns"]
        client.socket.sendall(data[:cut])
        if cut:
            wait_until(lambda: server.control.slot_counters(0)["turns"] > turns, what="a turn")
        client.socket.sendall(data[cut:])
        client.pull()
        client.shake()
        client.socket.sendall(client.encrypt(command("AUTH", "x") + command("CLIENTS")))
        assert b"192.0.2.7:50000" in client.read(120)
    finally:
        server.stop()
