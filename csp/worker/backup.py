"""Tells where the other one of this server's pair listens, as the Application objects say.

1. A port is told to who can come by it: one that takes TLS to who came by TLS, one that takes plain
   text to who came without. Where there is none, none is told.
2. Anyhow it is the port `default`, else any that is for all clients; a port for something else only
   where it has the same id as the one that was come by.
"""

from __future__ import annotations

from typing import Any

import orjson

from csp.model.redundancy import backup_dbid_of
from csp.process.application import APPLICATION, host_name_of
from csp.process.places import place_of, port_for_clients, port_of_id, ports_of
from csp.process.standing import shown
from csp.worker.call import Lane
from csp.worker.cluster import shown_as


def backup_of(lane: Lane, conn: int) -> dict[str, str]:
    """HOST:PORT of the other one of the pair, `backup`, and that of its port with the id of the one
    that the connection came by, `backup_port`; "" where there is none.
    """
    other = object_of(lane, APPLICATION.id, _other_dbid(lane))
    host = host_name_of(lane.reader, other)
    session = lane.loop.session(conn)
    secured, came_by = bool(session.secured), lane.info.port_of(session.port).id
    ports = ports_of(other) if other else []
    return {
        "backup": place_of(host, port_for_clients(ports, secured=secured)).address,
        "backup_port": place_of(host, port_of_id(ports, came_by, secured=secured)).address,
    }


def _other_dbid(lane: Lane) -> int:
    """The one that clients of this server go to when it dies; 0: there is none.

    As the pair stands: who serves as the configured backup has clients go to the primary.
    """
    if shown_as(lane).is_pool:
        return 0
    standing = shown(lane.control)
    if standing.peer_dbid:
        return standing.peer_dbid
    own = lane.applications.named(lane.reader, lane.info.app_name) or {}
    return backup_dbid_of(own)


def object_of(lane: Lane, class_id: int, dbid: int) -> dict[str, Any]:
    """An object, whoever may read it; empty where there is none."""
    found = lane.reader.get(class_id, dbid) if dbid else None
    obj: dict[str, Any] = orjson.loads(found) if found is not None else {}
    return obj
