"""The ports of a server: what each is for, how it is secured, and whom it lets in.

1. A port is known by its number, which is its place in `ProcessContext.ports`; the loop knows the
   same numbers, and those of purposes and kinds of security (csp/_fastpath/loop/state.pxi).
2. What a port demands of who comes by it stands in its row and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network

DEFAULT_ID = "default"  # of the port that clients use


class Purpose(Enum):
    """What a port is for."""

    CLIENTS = 0
    USER_INTERFACE = 1  # people's programs: no server registers here
    HA_SYNC = 2  # the peer of a pair alone
    MANAGEMENT = 3  # administrators alone


class Security(Enum):
    """What a port's first bytes have to be."""

    UNSECURED = 0
    SECURED = 1  # a TLS hello
    AUTO = 2  # either: the first byte decides


@dataclass(frozen=True)
class Port:
    """One port, at one or several addresses."""

    number: int
    id: str = DEFAULT_ID
    address: str = ""  # HOST:PORT as bound
    purpose: Purpose = Purpose.CLIENTS
    security: Security = Security.UNSECURED
    proxy_from: tuple[Network, ...] = ()  # balancers that say whose connection it is; no others
    listed: tuple[Network, ...] = ()  # who may connect at all; empty: everybody
    # What its transport parameters say of certificates, by their names.
    tls: Mapping[str, str] = field(default_factory=dict)
