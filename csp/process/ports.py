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
    SENTINEL = 4  # who asks where to go: discovery, as clients of Redis Sentinel do it
    AGENT_CHECK = 5  # balancers that ask how this server is

    @property
    def word(self) -> str:
        """What it is called in words: `user-interface`."""
        return self.name.lower().replace("_", "-")


class Security(Enum):
    """What a port's first bytes have to be."""

    UNSECURED = 0
    SECURED = 1  # a TLS hello
    AUTO = 2  # either: the first byte decides

    @property
    def word(self) -> str:
        """What it is called in words: `secured`."""
        return self.name.lower()


@dataclass(frozen=True)
class Port:
    """One port, at one or several addresses."""

    number: int
    id: str = DEFAULT_ID
    tcp: int = 0  # as bound; before that as its Application says, 0: it does not
    address: str = ""  # HOST:PORT as bound
    purpose: Purpose = Purpose.CLIENTS
    security: Security = Security.UNSECURED
    proxy_from: tuple[Network, ...] = ()  # balancers that say whose connection it is; no others
    listed: tuple[Network, ...] = ()  # who may connect at all; empty: everybody
    # What its transport parameters say of certificates, by their names, filled in by the options of
    # its Application and Host (csp/process/port_infos.py); empty where it is not secured.
    tls: Mapping[str, str] = field(default_factory=dict)
