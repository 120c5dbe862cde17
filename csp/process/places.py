"""Says where another server listens, as its Application and Host say: for clients, for its peer.

Pure: the objects are handed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from csp.process.port_infos import read_ports
from csp.process.ports import Port, Purpose, Security


class Place(NamedTuple):
    """Where a server listens; an empty address: nowhere that is known."""

    address: str = ""  # HOST:PORT, an IPv6 address in brackets
    security: Security = Security.UNSECURED


NOWHERE = Place()


def ports_of(application: Mapping[str, Any]) -> list[Port]:
    """Its ports, the default one first; where `portInfos` has none, it is that of `serverInfo`."""
    default, *others = read_ports(application).ports
    stated = str((application.get("serverInfo") or {}).get("port", ""))
    if not default.tcp and stated.isdecimal():
        default = replace(default, tcp=int(stated))
    return [default, *others]


def place_of(host: str, port: Port | None) -> Place:
    """A port on a host of this name or address."""
    if not host or port is None or not port.tcp:
        return NOWHERE
    return Place(f"[{host}]:{port.tcp}" if ":" in host else f"{host}:{port.tcp}", port.security)


def port_for_clients(ports: Sequence[Port], *, secured: bool) -> Port | None:
    """The default port, else any that is for all clients: one that takes how they speak."""
    fit = _fitting(ports, secured=secured)
    return next((one for one in fit if one.purpose is Purpose.CLIENTS), None)


def port_of_id(ports: Sequence[Port], port_id: str, *, secured: bool) -> Port | None:
    """The port of that id, whatever it is for, if it takes how they speak."""
    return next((one for one in _fitting(ports, secured=secured) if one.id == port_id), None)


def _fitting(ports: Sequence[Port], *, secured: bool) -> Iterator[Port]:
    refused = Security.UNSECURED if secured else Security.SECURED
    return (one for one in ports if one.tcp and one.security is not refused)


def for_clients(application: Mapping[str, Any], host: str, *, secured: bool = False) -> Place:
    """Where clients go that speak TLS, or do not."""
    return place_of(host, port_for_clients(ports_of(application), secured=secured))


def for_peer(application: Mapping[str, Any], host: str) -> Place:
    """Where the other one of a pair goes: the port for HA synchronization, else the default one,
    else any.
    """
    ports = [one for one in ports_of(application) if one.tcp]
    chosen = next((one for one in ports if one.purpose is Purpose.HA_SYNC), None)
    return place_of(host, chosen or next(iter(ports), None))
