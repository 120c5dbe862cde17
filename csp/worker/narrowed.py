"""Says who is cut off where the default port lets in less than everybody.

What is known of clients is what their Application objects say: that they have a connection to this
server's Application, by which port, with which transport parameters, and on which Host they run.
Pure: what is asked of the store is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from csp.model.keys import KEYS
from csp.process.application import APPLICATION, HOST, host_dbid_of
from csp.process.port_infos import MUTUAL, ON, SECTION, parse_parameters
from csp.process.ports import DEFAULT_ID, Network, Port, Security
from csp.worker.ports import View

LOOKED_AT_MAX = 1_000  # applications with a connection to this server: some 50 ms
NAMED_MAX = 10

Object = Mapping[str, Any]
Get = Callable[[str, int], "Object | None"]  # by class name and DBID


class Client:
    """An application that has a connection to the default port of this server."""

    def __init__(self, application: Object, connection: Object, get: Get) -> None:
        self.name = str(application["name"])
        self.is_server = application.get("isServer") is True
        self._application = application
        self._words = parse_parameters("", str(connection.get("transportParams") or "")).values
        self._host = get(HOST.name, host_dbid_of(application)) or {}

    @property
    def speaks_tls(self) -> bool:
        """Whether its connection says so."""
        return self._words.get("tls") == "1"

    @property
    def has_certificate(self) -> bool:
        """Whether one is named for it: by its connection, itself or its host."""
        options = (self._application.get("options"), self._host.get("userProperties"))
        sections = [(one or {}).get(SECTION) or {} for one in options]
        return "certificate" in self._words or any(one.get("certificate") for one in sections)

    def is_in(self, networks: Iterable[Network]) -> bool | None:
        """Whether its host lies in one of them; None where its address is not known."""
        try:
            address = ip_address(str(self._host.get("IPaddress") or ""))
        except ValueError:
            return None
        return any(address in network for network in networks)


def clients_of(reader: View, own_dbid: int, get: Get) -> list[Client]:
    """Those with a connection to the default port of this Application, LOOKED_AT_MAX at most."""
    key = KEYS[APPLICATION.name, "server_dbid"].key_id
    found = []
    for dbid in reader.find(key, own_dbid.to_bytes(4, "little"))[:LOOKED_AT_MAX]:
        application = get(APPLICATION.name, dbid) or {}
        for one in application.get("appServerDBIDs") or ():
            if one.get("appServerDBID") == own_dbid and one.get("id") in (None, "", DEFAULT_ID):
                found.append(Client(application, one, get))
    return found


def narrowings(port: Port, clients: list[Client]) -> Iterator[tuple[str, str]]:
    """What narrows a port, and who is cut off by it, in words."""
    if port.proxy_from:
        yield "takes connections of its balancers alone", _named(clients, "every direct client")
    if port.security is Security.SECURED:
        plain = [one for one in clients if not one.speaks_tls]
        yield "takes TLS alone", _named(plain, "every client without TLS")
    if port.tls.get(MUTUAL) == ON:
        bare = [one for one in clients if not one.has_certificate]
        yield "demands certificates of clients", _named(bare, "every client without a certificate")
    if port.listed:
        far = [one for one in clients if one.is_in(port.listed) is False]
        shown = ", ".join(str(one) for one in port.listed)
        yield f"takes clients of {shown} alone", _named(far, "every client from elsewhere")


def servers_of(clients: list[Client]) -> str:
    """Who would be cut off if the default port were for user interfaces alone, in words."""
    return _named([one for one in clients if one.is_server], "every server")


def _named(clients: list[Client], everybody: str) -> str:
    names = sorted({one.name for one in clients})
    if not names:
        return f"{everybody}; no Application with a connection to this one is known to be"
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return f"{everybody}, among them {', '.join(names[:NAMED_MAX])}{more}"
