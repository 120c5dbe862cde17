"""Reads from the connections of a proxy's Application which servers it may follow, in their order.

Pure: the store is handed in. A connection to another type of server, to one that is disabled, or
whose Host or port are not known says nothing of where to go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from csp.model.redundancy import is_server
from csp.process.application import APPLICATION, Finder, host_name_of
from csp.process.places import Place, place_of, port_for_clients, port_of_id, ports_of

CONNECTIONS = "appServerDBIDs"


class Listed(NamedTuple):
    """One server that a connection leads to."""

    dbid: int
    address: str  # HOST:PORT


def connections_up(
    reader: Finder, application: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each connection to another configuration server, and that one's Application."""
    own = int(application.get("DBID") or 0)
    for connection in application.get(CONNECTIONS) or ():
        dbid = int(connection.get("appServerDBID") or 0)
        found = reader.get(APPLICATION.id, dbid) if dbid and dbid != own else None
        server = orjson.loads(found) if found else {}
        if is_server(server) and server.get("state") != "disabled":
            yield connection, server


def servers_above(reader: Finder, application: Mapping[str, Any], *, secured: bool) -> list[Listed]:
    """Where links may go, the preferred first; `secured`: they speak TLS."""
    found = []
    for connection, server in connections_up(reader, application):
        host = host_name_of(reader, server)
        place = _place(server, host, str(connection.get("id", "")), secured=secured)
        if place.address:
            found.append(Listed(int(server["DBID"]), place.address))
    return found


def _place(server: Mapping[str, Any], host: str, port_id: str, *, secured: bool) -> Place:
    """The port that the connection names by its id, else the one for clients."""
    ports = ports_of(server)
    named = port_of_id(ports, port_id, secured=secured) if port_id else None
    return place_of(host, named or port_for_clients(ports, secured=secured))
