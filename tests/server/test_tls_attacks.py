"""What clients do to a TLS port that no honest one does: nobody else notices."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.process.ports import Security
from tests.neighbours.certificates import Authority, Certificate
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import HotServer, Raw, command, person
from tests.server.tls_stage import SecureRaw, TlsServer, WireClient, trusting

pytestmark = pytest.mark.needs("openssl")

PERSONS = [("CfgPerson", person(dbid)) for dbid in range(1, 10)]
HANDSHAKES_A_TURN = 8
CALL_SECONDS_MAX = 30
IDLE_BYTES_MAX = 16 << 10
IDLE_CLIENTS = 200


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> Certificate:
    return authority.issue()


@pytest.fixture
def server(leaf: Certificate) -> Iterator[TlsServer]:
    one = TlsServer(PERSONS, leaf.bundle(), security=Security.AUTO)
    yield one
    one.stop()


def s_client(server: HotServer, root: Path, *words: str) -> subprocess.Popen[str]:
    """OpenSSL's own client, whose lines `K` and `R` do what no library lets one do."""
    line = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", str(root)]
    return subprocess.Popen(
        [*line, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def say(client: subprocess.Popen[str], line: str, until: str) -> str:
    """What it prints up to a line that holds these words, or its end."""
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(line)
    client.stdin.flush()
    said = ""
    for one in client.stdout:
        said += one
        if until in one:
            break
    return said


def test_new_keys_are_taken_and_answered(server: TlsServer, authority: Authority) -> None:
    """KeyUpdate, asked for and told, between requests."""
    client = s_client(server, authority.root, "-tls1_3")
    try:
        say(client, "PING\n", "PONG")
        for line in ("k\n", "K\n", "K\n"):
            say(client, line, "KEYUPDATE")
            assert "PONG" in say(client, "PING\n", "PONG")
    finally:
        client.kill()
        client.wait()
    assert server.control.slot_counters(0)["handshakes_failed"] == 0


def openssl_client(raw: Raw) -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    """OpenSSL itself, for what Python's TLS has no words for; connected."""
    library = ctypes.CDLL("libssl.so.3")
    pointer = ctypes.c_void_p
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(library, name).restype = pointer
    connection = pointer(
        library.SSL_new(pointer(library.SSL_CTX_new(pointer(library.TLS_client_method()))))
    )
    library.SSL_set_fd(connection, raw.socket.fileno())
    assert library.SSL_connect(connection) == 1
    return library, connection


def test_who_asks_for_new_keys_without_end_is_ended(
    server: TlsServer, authority: Authority
) -> None:
    """Each costs the server as much as twenty GETs, and the sender next to nothing."""
    other = SecureRaw(server.port, trusting(authority.root))
    assert other.call("AUTH", "x") == "OK"
    raw = Raw(server.port)
    raw.socket.settimeout(None)
    library, connection = openssl_client(raw)
    sent = 0
    while library.SSL_key_update(connection, 1) == 1 and library.SSL_do_handshake(connection) == 1:
        sent += 1
        assert sent < 100_000
    assert other.call("PING") == "PONG"
    wait_until(lambda: server.control.slot_counters(0)["connections"] == 1, what="its end")


def test_nobody_renegotiates(server: TlsServer, authority: Authority) -> None:
    client = s_client(server, authority.root, "-tls1_2")
    try:
        say(client, "PING\n", "PONG")
        said, _ = client.communicate("R\n", timeout=CALL_SECONDS_MAX)
    finally:
        client.kill()
        client.wait()
    assert "no renegotiation" in said
    assert server.control.slot_counters(0)["handshakes"] == 1


@pytest.mark.parametrize(
    "words",
    [
        ("-tls1_1", "-cipher", "ALL@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "AES128-SHA"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"),
        ("-tls1_2", "-cipher", "NULL:aNULL:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "kRSA"),
    ],
)
def test_old_protocols_and_weak_ciphers_are_refused(
    server: TlsServer, authority: Authority, words: tuple[str, ...]
) -> None:
    client = s_client(server, authority.root, *words)
    said, _ = client.communicate("", timeout=CALL_SECONDS_MAX)
    assert "Cipher is (NONE)" in said or "no cipher match" in said
    assert server.control.slot_counters(0)["handshakes"] == 0


def test_hellos_are_taken_a_few_a_turn(server: TlsServer, authority: Authority) -> None:
    """Forty that come at once take five turns or more: nobody else waits for all of them."""
    clients = [WireClient(server.port, trusting(authority.root)) for _ in range(40)]
    other = server.connect()
    os.kill(server.pid, signal.SIGSTOP)
    for client in clients:
        client.step()
        client.push()
    turns = server.control.slot_counters(0)["turns"]
    os.kill(server.pid, signal.SIGCONT)
    for client in clients:
        assert client.pull() > 0
    assert server.control.slot_counters(0)["turns"] - turns >= 40 // HANDSHAKES_A_TURN
    for client in clients:
        client.shake()
    for client in clients:
        client.socket.sendall(client.encrypt(command("AUTH", "x")))
        assert client.read(5) == b"+OK\r\n"
    assert other.call("PING") == "PONG"


def test_a_hello_that_never_ends_is_ended(leaf: Certificate, authority: Authority) -> None:
    """Cut, or not begun: the time for sign-in ends it, and OpenSSL waits for it no more."""
    server = TlsServer(PERSONS, leaf.bundle(), security=Security.AUTO, sign_in_ms=500)
    try:
        silent, slow = Raw(server.port), Raw(server.port)
        client = WireClient(server.port, trusting(authority.root))
        client.step()
        slow.send(client.outgoing.read()[:40])
        assert silent.is_closed()
        assert slow.is_closed()
        counters = wait_until(
            lambda: (now := server.control.slot_counters(0))["timeouts_sign_in"] == 3 and now
        )
        assert counters["tls_connections"] == 0
    finally:
        server.stop()


def test_garbage_ends_its_sender_alone(server: TlsServer, authority: Authority) -> None:
    """Behind a first byte, within a handshake, within records: spoilt, doubled, left out."""
    other = SecureRaw(server.port, trusting(authority.root))
    assert other.call("AUTH", "x") == "OK"
    chance = random.Random(7)
    for number in range(60):
        if number % 3 == 0:
            raw = Raw(server.port)
            raw.send(b"\x16" + chance.randbytes(chance.randrange(1, 600)))
            raw.socket.shutdown(socket.SHUT_WR)
            assert raw.is_closed()
            continue
        client = WireClient(server.port, trusting(authority.root))
        if number % 3 == 1:
            client.step()
            data = client.outgoing.read()
        else:
            client.shake()
            data = client.encrypt(command("PING") * 20)
        at = chance.randrange(len(data))
        spoilt = [
            data[:at] + bytes([data[at] ^ (1 + chance.randrange(255))]) + data[at + 1 :],
            data[:at] + data[at:] + data[at:],
            data[:at] + data[at + 1 :],
        ][chance.randrange(3)]
        client.socket.sendall(spoilt)
        client.socket.shutdown(socket.SHUT_WR)
        while client.socket.recv(1 << 16):
            pass
        client.socket.close()
    assert other.call("PING") == "PONG"
    wait_until(
        lambda: server.control.slot_counters(0)["tls_connections"] == 1, what="all others are gone"
    )


def test_a_spoilt_record_ends_with_an_alert(server: TlsServer, authority: Authority) -> None:
    client = WireClient(server.port, trusting(authority.root))
    client.shake()
    data = bytearray(client.encrypt(command("PING")))
    data[-1] ^= 1
    client.socket.sendall(data)
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        client.read(100)


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.alone
def test_an_idle_connection_costs_little(server: TlsServer, authority: Authority) -> None:
    """OpenSSL's buffers are given back after a second without anything to do."""
    context = trusting(authority.root)

    def come(count: int) -> list[SecureRaw]:
        made = [SecureRaw(server.port, context) for _ in range(count)]
        for one in made:
            assert one.call("AUTH", "x") == "OK"
            assert one.call("GET", "CfgPerson:1")
        return made

    first = come(IDLE_CLIENTS)  # what the heap takes once
    busy = resident_bytes(server.pid)
    wait_until(lambda: resident_bytes(server.pid) < busy, what="their buffers are given back")
    before = resident_bytes(server.pid)
    second = come(IDLE_CLIENTS)
    wait_until(
        lambda: (resident_bytes(server.pid) - before) / IDLE_CLIENTS < IDLE_BYTES_MAX,
        what=f"{IDLE_BYTES_MAX} bytes a connection",
    )
    assert [one.call("PING") for one in (first[0], second[-1])] == ["PONG", "PONG"]
