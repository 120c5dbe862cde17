"""Ports of balancers: whose connection it is, who may say so, and what follows the header."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from csp.process.ports import Port, Security
from tests.neighbours.waiting import wait_until
from tests.server.door_stage import (
    BINARY,
    ELSEWHERE,
    HEALTH_CHECK,
    LINE,
    LINE6,
    LOCAL_NET,
    DoorServer,
)
from tests.server.hot_stage import PEOPLE, Raw, command

PROXY_SECONDS = 5

plain, behind, elsewhere, listed, secured = range(5)
PORTS = (
    Port(plain, "default"),
    Port(behind, "behind", proxy_from=LOCAL_NET),
    Port(elsewhere, "elsewhere", proxy_from=ELSEWHERE),
    Port(listed, "listed", proxy_from=LOCAL_NET, listed=(ip_network("198.51.100.0/24"),)),
    Port(secured, "secured", security=Security.SECURED, proxy_from=LOCAL_NET),
)


@pytest.fixture
def server() -> Any:
    server = DoorServer(PEOPLE[:50], ports=PORTS)
    yield server
    server.stop()


@pytest.fixture
def limited() -> Any:
    """An address may have three connections."""
    server = DoorServer(PEOPLE[:50], ports=PORTS, address_connections=3)
    yield server
    server.stop()


def signed_in(raw: Raw) -> Raw:
    assert raw.call("AUTH", "x") == "OK"
    return raw


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (LINE, "198.51.100.7:40001"),
        (BINARY, "198.51.100.7:40001"),
        (LINE6, "[2001:db8::7]:40001"),
    ],
    ids=["a line", "bytes", "a line of IPv6"],
)
def test_a_connection_is_of_the_address_that_its_balancer_says(
    server: DoorServer, header: bytes, address: str
) -> None:
    raw = signed_in(server.door(behind, header))
    assert raw.call("WHOAMI") == f"{behind} {address}"
    shown = [client["address"] for client in eval(server.connect().call("CLIENTS"))]
    assert address in shown


@pytest.mark.parametrize("header", [LINE, BINARY], ids=["a line", "bytes"])
def test_a_header_comes_in_any_pieces_and_what_follows_is_untouched(
    server: DoorServer, header: bytes
) -> None:
    sent = header + command("AUTH", "x") + command("WHOAMI") + command("ECHO", "x" * 40_000)
    for cut in (1, 5, 6, 12, 16, len(header) - 1, len(header), len(header) + 3):
        raw = server.door(behind, sent[:cut])
        if cut < len(header):
            assert raw.is_silent(0.01)
        raw.send(sent[cut:])
        assert raw.read_all(3) == ["OK", f"{behind} 198.51.100.7:40001", "x" * 40_000]
    byte_by_byte = server.door(behind)
    for byte in sent[: len(header) + 10]:
        byte_by_byte.send(bytes([byte]))
    byte_by_byte.send(sent[len(header) + 10 :])
    assert byte_by_byte.read() == "OK"


@pytest.mark.parametrize("header", [HEALTH_CHECK, b"PROXY UNKNOWN\r\n"], ids=["LOCAL", "UNKNOWN"])
def test_a_health_check_keeps_the_address_it_has(server: DoorServer, header: bytes) -> None:
    raw = server.door(behind, header)
    assert raw.call("PING") == "PONG"
    assert signed_in(raw).call("WHOAMI").startswith(f"{behind} 127.0.0.1:")
    ended = server.door(behind, header)
    ended.close()
    assert server.turned() == []


def test_without_a_header_nobody_is_served_where_balancers_connect(server: DoorServer) -> None:
    for first in (b"PING\r\n", command("PING"), b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", LINE[1:]):
        assert server.door(behind, first).is_closed()
    ((why, count, port, address),) = server.turned()
    assert (why, count, port) == ("header", 5, behind)
    assert address.startswith("127.0.0.1:")
    assert server.metric("prefaces_failed") == 5


def test_where_no_balancer_connects_a_header_is_no_command(server: DoorServer) -> None:
    """Whoever may connect could else pass for any other."""
    raw = server.door(plain, LINE)
    assert raw.read() == "-NOAUTH Authentication required."
    assert signed_in(raw).call("WHOAMI").startswith(f"{plain} 127.0.0.1:")
    assert "ERR" in server.door(plain, BINARY).read() or server.door(plain, BINARY).is_closed()


def test_only_its_balancers_connect_to_a_port(server: DoorServer) -> None:
    assert server.door(elsewhere).is_closed()
    assert server.door(elsewhere).is_closed()
    ((why, count, port, address),) = server.turned()
    assert (why, count, port) == ("balancer", 2, elsewhere)
    assert address.startswith("127.0.0.1:")
    assert server.metric("strangers") == 2
    assert server.turned() == []


def test_who_may_connect_at_all_is_asked_of_the_address_in_the_header(server: DoorServer) -> None:
    assert signed_in(server.door(listed, LINE)).call("PING") == "PONG"
    assert server.door(listed, LINE6).is_closed()
    assert server.turned() == [("address", 1, listed, "[2001:db8::7]:40001")]
    assert server.door(listed, HEALTH_CHECK).call("PING") == "PONG"


def test_a_header_that_does_not_come_ends_the_connection(server: DoorServer) -> None:
    begun, silent = server.door(behind, LINE[:20]), server.door(behind)
    assert begun.is_closed(PROXY_SECONDS + 5)
    assert silent.is_closed(PROXY_SECONDS + 5)
    ((why, count, port, _),) = server.turned()
    assert (why, count, port) == ("late", 2, behind)


def test_who_ends_his_side_within_a_header_is_gone(server: DoorServer) -> None:
    raw = server.door(behind, LINE[:20])
    raw.socket.shutdown(1)
    assert raw.is_closed()
    server.door(behind).close()  # a check that only connects
    assert [row[:2] for row in server.turned()] == [("header", 1)]


def test_a_connection_without_its_header_has_no_buffer(server: DoorServer) -> None:
    watcher = server.connect()
    held = [server.door(behind, LINE[:30]) for _ in range(50)]
    wait_until(lambda: eval(watcher.call("COUNTERS"))["unsigned"] == 50, 5, "they are there")
    counters = eval(watcher.call("COUNTERS"))
    assert counters["buffers"] == 0
    for one in held:
        one.close(reset=True)
    wait_until(lambda: eval(watcher.call("COUNTERS"))["connections"] == 1, 5, "they are gone")


def test_a_server_that_ends_does_not_wait_for_headers(server: DoorServer) -> None:
    raw, waiting = server.connect(), server.door(behind, LINE[:30])
    wait_until(lambda: eval(raw.call("COUNTERS"))["unsigned"] == 1, 5, "it was accepted")
    assert raw.call("DRAIN") == "OK"
    assert waiting.is_closed(2)


def test_connections_of_an_address_are_limited(limited: DoorServer) -> None:
    held = [limited.connect() for _ in range(3)]
    refused = limited.door(plain)
    assert refused.read() == "-ERR max number of clients of this address reached"
    assert refused.is_closed()
    held.pop().close()
    wait_until(lambda: is_let_in(limited), 5, "a place again")
    ((why, count, port, address),) = eval(held[0].call("TURNED"))
    assert (why, port) == ("crowd", plain)
    assert count >= 1
    assert address.startswith("127.0.0.1:")
    assert limited.metric("crowded") == count
    assert limited.metric("rejected") == 0


def is_let_in(server: DoorServer, number: int = plain, first: bytes = b"") -> bool:
    with contextlib.closing(server.door(number, first + command("PING"))) as raw:
        return bool(raw.read() == "PONG")


def test_behind_a_balancer_the_limit_is_one_of_the_client(limited: DoorServer) -> None:
    """All come from one machine; one more of 198.51.100.7 is one too many, of others not.

    Who has one IPv6 address may have any of its network.
    """
    held = [signed_in(limited.door(behind, LINE)) for _ in range(3)]
    assert limited.door(behind, LINE).read().endswith("clients of this address reached")
    assert limited.door(behind, BINARY).read().endswith("clients of this address reached")
    mapped = LINE6.replace(b"2001:db8::7", b"::ffff:198.51.100.7")
    assert limited.door(behind, mapped).read().endswith("clients of this address reached")
    others = [signed_in(limited.door(behind, LINE6)) for _ in range(3)]
    assert limited.door(behind, LINE6).read().endswith("clients of this address reached")
    neighbour = LINE6.replace(b"2001:db8::7", b"2001:db8::aaaa:7")
    assert limited.door(behind, neighbour).read().endswith("clients of this address reached")
    others += [signed_in(limited.door(behind, LINE6.replace(b"db8::7", b"db8:0:1::7")))]
    checks = [limited.door(behind, HEALTH_CHECK) for _ in range(8)]
    assert [one.call("PING") for one in checks] == ["PONG"] * 8
    assert [one.call("PING") for one in (*held, *others)] == ["PONG"] * 7


def test_listed_balancers_may_have_any_number(limited: DoorServer) -> None:
    first = limited.connect()
    assert first.call("BALANCERS", "192.0.2.1/32", "127.0.0.0/30") == "OK"
    held = [limited.connect() for _ in range(20)]
    assert first.call("BALANCERS") == "OK"
    assert limited.door(plain).read().endswith("clients of this address reached")
    for one in held:
        one.close()
    first.close()
    wait_until(lambda: is_let_in(limited), 5, "all are counted off")


def test_a_port_of_tls_refuses_without_a_line(limited: DoorServer) -> None:
    """A client that speaks TLS would take it for rubbish."""
    held = [limited.connect() for _ in range(3)]
    assert limited.door(behind, LINE).call("PING") == "PONG"
    full = LINE.replace(b"198.51.100.7", b"127.0.0.1")
    raw = limited.door(secured, full)
    assert raw.socket.recv(100) == b""
    assert held[0].call("PING") == "PONG"


@pytest.mark.parametrize("limits", [{}, {"address_connections": 1000}], ids=["off", "on"])
def test_what_was_counted_of_addresses_is_counted_off(
    limits: dict[str, int], tidy: Callable[..., DoorServer]
) -> None:
    server = tidy(**limits)
    watcher = server.connect()
    for _ in range(3):
        held = []
        for number in range(200):
            header = LINE.replace(b"100.7", b"%d.%d" % (number % 7, number % 50))
            held.append(server.door(behind, header + command("PING")))
        assert [one.read() for one in held] == ["PONG"] * 200
        assert eval(watcher.call("COUNTERS"))["addresses"] == 1 + len(
            {(number % 7, number % 50) for number in range(200)}
        )
        for one in held:
            one.close()
        wait_until(lambda: eval(watcher.call("COUNTERS"))["connections"] == 1, 5, "they are gone")
        assert eval(watcher.call("COUNTERS"))["addresses"] == 1


@pytest.fixture
def tidy() -> Any:
    started: list[DoorServer] = []

    def start(**limits: int) -> DoorServer:
        started.append(DoorServer(PEOPLE[:50], ports=PORTS, **limits))
        return started[-1]

    yield start
    for one in started:
        one.stop()
