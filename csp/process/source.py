"""From which address and port this server's links go out, where a firewall wants to know.

1. Stated by the transport parameters `address`, `port` and `backup-port` of the connection to the
   master in the server's Application; by the command line until that is known.
2. A port serves one connection to an address at a time: the session has the port that is stated,
   the feed the next one.
3. A link from a stated port ends without a good-bye of TCP, so that the port is free at once.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

PORT_MAX: Final = 65_535
PARAMETERS: Final = ("address", "port", "backup-port")
AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
IP_BIND_ADDRESS_NO_PORT: Final = 24  # Linux: the port is chosen when it connects


class SourceRefused(ValueError):
    """What is stated can't be used; the text says why."""


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Source:
    """Where links begin; nothing stated: the kernel chooses."""

    address: str = ""
    port: int = 0
    backup_port: int = 0  # of links to the master's backup; 0: as `port`

    def __post_init__(self) -> None:
        if self.address and not _is_address(self.address):
            raise SourceRefused(f"address={self.address} is no IP address")
        for name, port in (("port", self.port), ("backup-port", self.backup_port)):
            # The one behind it is the feed's.
            if not 0 <= port < PORT_MAX:
                raise SourceRefused(f"{name}={port} is no port from 1 to {PORT_MAX - 1}")

    @property
    def has_port(self) -> bool:
        """Whether each connection has a port of its own to come from."""
        return bool(self.port or self.backup_port)

    def bind(self, made: socket.socket, *, to_backup: bool, number: int) -> None:
        """Binds a socket that is to connect, the link of that number. Raises OSError in words."""
        first = (self.backup_port if to_backup else 0) or self.port
        port = first + number if first else 0
        if not self.address and not port:
            return
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        else:
            made.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        any_address = "::" if made.family == socket.AF_INET6 else ""
        try:
            made.bind((self.address or any_address, port))
        except OSError as error:
            shown = f"{self.address or 'any address'}, port {port or 'any'}"
            raise OSError(f"can't come from {shown}: {error.strerror or error}") from None


ANYWHERE: Final = Source()


def parse_source(text: str) -> Source:
    """[ADDRESS][:PORT[:BACKUP-PORT]], an IPv6 address in brackets; raises SourceRefused."""
    if _is_address(text):
        return Source(text)
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        rest = rest.removeprefix(":")
    else:
        address, _, rest = text.partition(":")
    port, _, backup_port = rest.partition(":")
    return Source(address, _port("port", port), _port("backup-port", backup_port))


def source_in(application: Mapping[str, Any]) -> Source | None:
    """What the first connection states that says anything of it; raises SourceRefused."""
    for connection in application.get("appServerDBIDs") or ():
        words = str(connection.get("transportParams", "")).split(";")
        stated = dict(word.partition("=")[::2] for word in words)
        found = {name: stated[name] for name in PARAMETERS if stated.get(name)}
        if found:
            return Source(
                found.get("address", ""),
                _port("port", found.get("port", "")),
                _port("backup-port", found.get("backup-port", "")),
            )
    return None


def _port(name: str, text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise SourceRefused(f"{name}={text} is no port from 1 to {PORT_MAX - 1}")
    return int(text or 0)
