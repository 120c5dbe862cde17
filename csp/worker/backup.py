"""Tells where this server's backup listens, as the Application objects say.

1. A port is told to who can come by it: one that takes TLS to who came by TLS, one that takes plain
   text to who came without. Where there is none, none is told.
2. Anyhow it is the port `default`, else any that is for all clients; a port for something else only
   where it has the same id as the one that was come by.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from csp.model.types import CLASSES
from csp.process.application import APPLICATION
from csp.process.port_infos import read_ports
from csp.process.ports import Port, Purpose, Security
from csp.worker.call import Lane

HOST = CLASSES["CfgHost"]


def backup_of(lane: Lane, conn: int) -> dict[str, str]:
    """HOST:PORT of the backup of this server's Application, `backup`, and that of the port with the
    id of the one that the connection came by, `backup_port`; "" where there is none.
    """
    own = lane.applications.named(lane.reader, lane.info.app_name) or {}
    server = own.get("serverInfo") or {}
    backup = _object(lane, APPLICATION.id, server.get("backupServerDBID", 0))
    listens = backup.get("serverInfo") or {}
    host = str(_object(lane, HOST.id, listens.get("hostDBID", 0)).get("name", ""))
    session = lane.loop.session(conn)
    refused = Security.UNSECURED if session.secured else Security.SECURED
    ports = [one for one in _ports(backup) if one.tcp and one.security is not refused]
    # The default port is the first.
    anyhow = next((one for one in ports if one.purpose is Purpose.CLIENTS), None)
    came_by = lane.info.port_of(session.port).id
    same = next((one for one in ports if one.id == came_by), None)
    return {"backup": _shown(host, anyhow), "backup_port": _shown(host, same)}


def _ports(application: dict[str, Any]) -> list[Port]:
    """Its ports; where `portInfos` has no default one, the port of `serverInfo` is that."""
    default, *others = read_ports(application).ports
    stated = str((application.get("serverInfo") or {}).get("port", ""))
    if not default.tcp and stated.isdecimal():
        default = replace(default, tcp=int(stated))
    return [default, *others]


def _shown(host: str, port: Port | None) -> str:
    if not host or port is None:
        return ""
    return f"[{host}]:{port.tcp}" if ":" in host else f"{host}:{port.tcp}"


def _object(lane: Lane, class_id: int, dbid: int) -> dict[str, Any]:
    found = lane.reader.get(class_id, dbid) if dbid else None
    shown: dict[str, Any] = orjson.loads(found) if found is not None else {}
    return shown
