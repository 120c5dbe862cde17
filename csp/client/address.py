"""Where a server is: HOST:PORT, with [::1]:2020 for IPv6; rediss:// before it says by TLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from csp.secure import Tls

PORT_MAX = 65_535
SCHEMES = {"redis://": False, "rediss://": True}  # and whether it says TLS


class Address(NamedTuple):
    """Host and port of a server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# What a client takes: an Address, a pair, or [rediss://]HOST:PORT.
AddressLike = Address | tuple[str, int] | str


def servers_of(
    stated: AddressLike | Sequence[AddressLike], tls: Tls | None
) -> tuple[list[Address], Tls | None]:
    """The addresses, and how TLS is spoken at all of them; ValueError or TypeError where it is
    said of some and not of others: a client that goes on elsewhere must not lose it.
    """
    several = isinstance(stated, list) or (
        isinstance(stated, tuple) and not isinstance(stated, Address) and bool(stated)
        and not (len(stated) == 2 and isinstance(stated[1], int))
    )  # fmt: skip
    found = [_server_of(one) for one in (stated if several else [stated])]  # type: ignore[arg-type]
    if not found:
        raise ValueError("a client needs the address of a server")
    said = {is_secure for _, is_secure in found if is_secure is not None}
    if tls is not None:
        said.add(True)
    if len(said) > 1:
        raise ValueError("all servers of a client are connected to by TLS, or none is")
    return [address for address, _ in found], tls or (Tls() if True in said else None)


def _server_of(value: AddressLike) -> tuple[Address, bool | None]:
    """What was given as an Address, and what it says of TLS."""
    if isinstance(value, str):
        return parse_server(value)
    if isinstance(value, tuple) and len(value) == 2:
        host, port = value
        if isinstance(host, str) and isinstance(port, int):
            return Address(host, port), None
    raise TypeError(f'an address is Address("HOST", PORT) or "HOST:PORT", not {value!r}')


def parse_server(text: str) -> tuple[Address, bool | None]:
    """[rediss://]HOST:PORT, and what it says of TLS; ValueError says what is wrong."""
    for scheme, is_secure in SCHEMES.items():
        if text.startswith(scheme):
            rest = text.removeprefix(scheme).removesuffix("/")
            if "@" in rest:  # not shown: it may hold a password
                raise ValueError(f"{scheme}HOST:PORT has no user and password: give credentials")
            return parse_address(rest), is_secure
    return parse_address(text), None


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
