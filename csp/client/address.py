"""Where a server is: HOST:PORT, with [::1]:2020 for IPv6."""

from __future__ import annotations

from typing import NamedTuple

PORT_MAX = 65_535


class Address(NamedTuple):
    """Host and port of a server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# What a client takes: an Address, a pair, or HOST:PORT.
AddressLike = Address | tuple[str, int] | str


def address_of(value: AddressLike) -> Address:
    """What was given as an Address; ValueError or TypeError says what is wrong."""
    if isinstance(value, str):
        return parse_address(value)
    if isinstance(value, tuple) and len(value) == 2:
        host, port = value
        if isinstance(host, str) and isinstance(port, int):
            return Address(host, port)
    raise TypeError(f'an address is Address("HOST", PORT) or "HOST:PORT", not {value!r}')


def parse_address(text: str) -> Address:
    """HOST:PORT as an Address; ValueError says what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{text!r} is not HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: write an IPv6 address as [ADDRESS]:PORT")
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= PORT_MAX):
        raise ValueError(f"{text!r}: the port is a number from 1 to {PORT_MAX}")
    return Address(host, int(port))
