"""Looks at TLS from outside, as a scanner does: versions, suites, old weaknesses, broken records.

1. What is offered is found by trying: each version and each suite that the OpenSSL of this machine
   knows, one handshake each.
2. Bytes that no library would send are written by hand, over sockets of the test's own.
3. After each of them the port serves others as before.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass

import pytest

from csp.process.ports import Security
from csp.resp import request
from tests.neighbours.certificates import Authority
from tests.server.hot_stage import person
from tests.server.tls_stage import TlsServer, trusting

pytestmark = pytest.mark.needs("openssl")

PERSONS = [("CfgPerson", person(dbid)) for dbid in range(1, 10)]
REPLY_SECONDS_MAX = 10
ALERT, HANDSHAKE, APPLICATION_DATA, CHANGE_CIPHER = 21, 22, 23, 20
RECORD_BYTES_MAX = (1 << 14) + 256
SUITES_1_2 = {
    f"ECDHE-ECDSA-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
}
SUITES_1_3 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]


@dataclass(frozen=True)
class Ports:
    """A loop for each way to secure a port, and who signed their certificate."""

    authority: Authority
    plain: int
    secured: int
    old: int  # TLS 1.2 alone
    new: int  # TLS 1.3 alone
    listed: int  # one suite alone
    auto: int


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    one = authority.issue()
    wanted = {
        "plain": (Security.UNSECURED, {}),
        "secured": (Security.SECURED, {}),
        "old": (Security.SECURED, {"protocols": "tlsv1.2"}),
        "new": (Security.SECURED, {"protocols": "tlsv1.3"}),
        "listed": (Security.SECURED, {"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}),
        "auto": (Security.AUTO, {}),
    }
    servers = {
        name: TlsServer(PERSONS, one.bundle(**words), security=security)
        for name, (security, words) in wanted.items()
    }
    yield Ports(authority, **{name: server.port for name, server in servers.items()})
    for server in servers.values():
        server.stop()


def trusting_client(ports: Ports) -> ssl.SSLContext:
    return trusting(ports.authority.root)


def offering(ports: Ports, version: ssl.TLSVersion, ciphers: str = "") -> ssl.SSLContext:
    """A client of one version, and of some suites of TLS 1.2, however weak they are."""
    context = trusting_client(ports)
    context.set_ciphers(f"{ciphers or 'ALL'}:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


def shaken(port: int, context: ssl.SSLContext) -> ssl.SSLSocket | None:
    """A connection; None where the server took no part in it."""
    plain = socket.create_connection(("127.0.0.1", port), REPLY_SECONDS_MAX)
    try:
        return context.wrap_socket(plain, server_hostname="localhost")
    except (ssl.SSLError, ConnectionError):
        plain.close()
        return None


def version_of(port: int, context: ssl.SSLContext) -> str | None:
    found = shaken(port, context)
    if found is None:
        return None
    with found:
        return found.version()


def serves(port: int, ports: Ports) -> None:
    """Somebody else signs in and reads."""
    found = shaken(port, trusting_client(ports))
    assert found is not None
    with found as one:
        one.sendall(request("AUTH", "x") + request("STRLEN", "CfgPerson:5"))
        got = b""
        while got.count(b"\n") < 2:
            got += one.recv(4096)
        assert got.startswith(b"+OK\r\n:")


def s_client(port: int, *words: str, told: str = "") -> str:
    """What openssl's own client says of a connection, both its outputs."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *words],
        input=told,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize(
    ("version", "is_taken"),
    [
        (ssl.TLSVersion.TLSv1, False),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_1_2_and_1_3_are_spoken_and_nothing_older(
    ports: Ports, version: ssl.TLSVersion, is_taken: bool
) -> None:
    for port in (ports.secured, ports.auto):
        assert (version_of(port, offering(ports, version)) is not None) == is_taken


def test_a_port_may_speak_one_version_alone(ports: Ports) -> None:
    taken = {
        (port, version)
        for port in (ports.old, ports.new)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
        if version_of(port, offering(ports, version)) is not None
    }
    assert taken == {(ports.old, ssl.TLSVersion.TLSv1_2), (ports.new, ssl.TLSVersion.TLSv1_3)}


def hello(version: tuple[int, int]) -> bytes:
    """A ClientHello of an age that this machine's library does not speak any more."""
    suites = b"\xc0\x2b\xc0\x2f\x00\x2f\x00\x0a"
    body = bytes(version) + b"\x11" * 32 + b"\x00" + len(suites).to_bytes(2, "big") + suites
    body += b"\x01\x00"  # no compression
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return bytes([HANDSHAKE, *version]) + len(message).to_bytes(2, "big") + message


SSL2_HELLO = b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x07\x00\xc0\x03\x00\x80" + b"\x11" * 31


def answer_to(port: int, data: bytes) -> bytes:
    """All that comes back until the server ends the connection."""
    with closing(socket.create_connection(("127.0.0.1", port), REPLY_SECONDS_MAX)) as one:
        one.sendall(data)
        return rest_of(one)


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the end; it may be reset where more was sent than the server wanted."""
    got = b""
    with suppress(ConnectionError):
        while some := connection.recv(4096):
            got += some
    return got


@pytest.mark.parametrize("data", [hello((3, 0)), hello((2, 0)), SSL2_HELLO])
def test_ssl_2_and_3_are_ended_at_once(ports: Ports, data: bytes) -> None:
    got = answer_to(ports.secured, data)
    assert got[:1] in (b"", bytes([ALERT]))
    serves(ports.secured, ports)


def test_a_fall_back_that_nobody_needs_is_refused(ports: Ports) -> None:
    assert "inappropriate fallback" in s_client(ports.secured, "-tls1_2", "-fallback_scsv")
    assert "inappropriate fallback" not in s_client(ports.old, "-tls1_2", "-fallback_scsv")


# ---------------------------------------------------------------- suites


def taken_suites(ports: Ports, port: int) -> set[str]:
    """The suites of TLS 1.2 that a handshake succeeds with."""
    known = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    known.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    found = set()
    for cipher in known.get_ciphers():
        if cipher["protocol"] == "TLSv1.3":
            continue
        context = offering(ports, ssl.TLSVersion.TLSv1_2, str(cipher["name"]))
        if version_of(port, context) is not None:
            found.add(str(cipher["name"]))
    return found


def test_no_suite_without_forward_secrecy_and_authentication_is_taken(ports: Ports) -> None:
    assert taken_suites(ports, ports.secured) == SUITES_1_2


def test_a_list_of_suites_is_the_list(ports: Ports) -> None:
    assert taken_suites(ports, ports.listed) == {"ECDHE-ECDSA-AES256-GCM-SHA384"}


def test_the_suites_of_tls_1_3_are_there_and_the_server_prefers_aes(ports: Ports) -> None:
    for suite in SUITES_1_3:
        assert f"Cipher is {suite}" in s_client(ports.secured, "-tls1_3", "-ciphersuites", suite)
    backwards = ":".join(reversed(SUITES_1_3))
    shown = s_client(ports.secured, "-tls1_3", "-ciphersuites", backwards)
    assert f"Cipher is {SUITES_1_3[0]}" in shown


# ---------------------------------------------------------------- old weaknesses


def test_nothing_is_compressed_and_no_early_data_is_taken(ports: Ports) -> None:
    shown = s_client(ports.secured, "-tls1_2")
    assert "Compression: NONE" in shown
    assert "Secure Renegotiation IS supported" in shown
    told = request("PING").decode() + "Q\n"
    assert "Max Early Data: 0" in s_client(ports.secured, "-tls1_3", told=told) or (
        "Early data was not sent" in s_client(ports.secured, "-tls1_3", told=told)
    )


def test_renegotiation_is_refused(ports: Ports) -> None:
    with subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{ports.secured}", "-tls1_2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"R\n")
        process.stdin.flush()
        shown = process.stdout.read()  # to its end: the connection is over
        process.stdin.close()
    assert b"RENEGOTIATING" in shown
    assert b"no renegotiation" in shown or b"no_renegotiation" in shown or b"closed" in shown
    serves(ports.secured, ports)


def test_protocols_that_a_client_offers_inside_are_ignored(ports: Ports) -> None:
    context = trusting_client(ports)
    context.set_alpn_protocols(["h2", "http/1.1"])
    found = shaken(ports.secured, context)
    assert found is not None
    with found:
        assert found.selected_alpn_protocol() is None


def test_any_server_name_is_answered_with_the_certificate(ports: Ports) -> None:
    shown = s_client(ports.secured, "-servername", "elsewhere.example")
    assert "CN = localhost" in shown


def test_a_change_of_keys_before_there_are_any_is_refused(ports: Ports) -> None:
    """CCS injection: the record comes before the handshake has begun, and again after the hello."""
    early = bytes([CHANGE_CIPHER, 3, 3, 0, 1, 1])
    for data in (early, hello((3, 3)) + early + early):
        with closing(socket.create_connection(("127.0.0.1", ports.old), REPLY_SECONDS_MAX)) as one:
            one.sendall(data)
            assert bytes([CHANGE_CIPHER, 3]) not in rest_of(one)
    serves(ports.old, ports)


# ---------------------------------------------------------------- broken records


BROKEN = {
    "oversized": bytes([HANDSHAKE, 3, 1]) + (RECORD_BYTES_MAX + 1).to_bytes(2, "big") + b"x" * 100,
    "empty": bytes([HANDSHAKE, 3, 1, 0, 0]),
    "of an unknown kind": bytes([99, 3, 1, 0, 4]) + b"what",
    "data at once": bytes([APPLICATION_DATA, 3, 3, 0, 4]) + b"what",
    "a hello of 16 MiB": bytes([HANDSHAKE, 3, 1, 0, 4, 1, 255, 255, 255]) + b"\x16\x03\x01",
    "plain words": b"*1\r\n$4\r\nPING\r\n",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_begin_ends_that_connection_alone(ports: Ports, data: bytes) -> None:
    one = socket.create_connection(("127.0.0.1", ports.secured), REPLY_SECONDS_MAX)
    with closing(one):
        one.sendall(data)
        one.shutdown(socket.SHUT_WR)
        assert rest_of(one)[:1] in (b"", bytes([ALERT]))
        serves(ports.secured, ports)


def test_an_oversized_record_after_the_handshake_ends_it(ports: Ports) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        found = shaken(ports.secured, offering(ports, version))
        assert found is not None
        raw = socket.socket(fileno=found.detach())
        with closing(raw):
            raw.settimeout(REPLY_SECONDS_MAX)
            size = RECORD_BYTES_MAX + 2000
            raw.sendall(bytes([APPLICATION_DATA, 3, 3]) + size.to_bytes(2, "big") + b"x" * size)
            assert len(rest_of(raw)) < 4096, "nothing but what ends it"
        serves(ports.secured, ports)


def test_a_handshake_in_single_bytes_is_understood(ports: Ports) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = trusting_client(ports).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with closing(socket.create_connection(("127.0.0.1", ports.secured), REPLY_SECONDS_MAX)) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        is_over = False
        while not is_over:
            try:
                one.do_handshake()
                is_over = True
            except ssl.SSLWantReadError:
                pass
            for byte in outgoing.read():
                raw.send(bytes([byte]))
            if not is_over:
                incoming.write(raw.recv(4096))
        one.write(request("PING"))
        raw.sendall(outgoing.read())
        got = b""
        while b"PONG" not in got:
            incoming.write(raw.recv(4096))
            try:
                got += one.read(4096)
            except ssl.SSLWantReadError:
                continue


def test_the_end_is_said(ports: Ports) -> None:
    """A client can tell an end from a cut: QUIT brings a close_notify, so recv is empty."""
    found = shaken(ports.secured, trusting_client(ports))
    assert found is not None
    with found:
        found.suppress_ragged_eofs = False
        found.sendall(request("QUIT"))
        got = b""
        while some := found.recv(4096):
            got += some
        assert got == b"+OK\r\n"


# ---------------------------------------------------------------- the wrong door


def test_tls_at_a_plain_port_ends_clearly(ports: Ports) -> None:
    assert shaken(ports.plain, trusting_client(ports)) is None


def test_either_is_understood_where_the_first_byte_decides(ports: Ports) -> None:
    serves(ports.auto, ports)
    with closing(socket.create_connection(("127.0.0.1", ports.auto), REPLY_SECONDS_MAX)) as plain:
        plain.sendall(request("PING"))
        assert plain.recv(16) == b"+PONG\r\n"
