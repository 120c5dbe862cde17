"""The client port: addresses, one socket per worker, a taken port."""

from __future__ import annotations

import itertools
import select
import socket
from collections.abc import Iterable

import pytest

from csp.supervisor.listeners import Address, PortTaken, address_of, bind_listeners, parse_address

LOCAL = Address("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:2020", Address("127.0.0.1", 2020)),
        ("[::1]:2020", Address("::1", 2020)),
        (":2020", Address("0.0.0.0", 2020)),
        ("host.example:0", Address("host.example", 0)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["2020", "host:", "host:x", "host:65536", "::1:2020", "h:-1", ""])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        parse_address(text)


def test_half_a_bracket_gets_no_advice_that_is_wrong_itself() -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        parse_address("[::1:7000")


def test_connections_are_spread_over_the_sockets() -> None:
    listeners = bind_listeners(LOCAL, 3)
    address = address_of(listeners[0][0])
    clients = [socket.create_connection((address.host, address.port)) for _ in range(60)]
    waiting = [bool(select.select(row, [], [], 0)[0]) for row in listeners]
    assert waiting == [True] * 3
    close_all(clients, *listeners)


def close_all(*rows: Iterable[socket.socket]) -> None:
    for opened in itertools.chain(*rows):
        opened.close()


def test_a_name_is_bound_at_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may stand for several addresses; one of them this machine has not got."""
    addresses = ["127.0.0.1", "127.0.0.2", "192.0.2.1"]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 0)) for one in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*found, found[0]])
    rows = bind_listeners(Address("centre.example", 0), 2)
    monkeypatch.undo()
    port = address_of(rows[0][0]).port
    bound = [[address_of(one) for one in row] for row in rows]
    assert bound == [[Address("127.0.0.1", port), Address("127.0.0.2", port)]] * 2
    close_all(*rows)


def test_a_name_without_an_address_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(PortTaken, match="Cannot assign requested address"):
        bind_listeners(Address("centre.example", 0), 2)


@pytest.mark.parametrize("count", [1, 3])
def test_a_port_of_another_server_is_taken_even_if_it_would_share(count: int) -> None:
    first = bind_listeners(LOCAL, count)
    try:
        with pytest.raises(PortTaken, match="in use"):
            bind_listeners(address_of(first[0][0]), 2)
    finally:
        close_all(*first)
