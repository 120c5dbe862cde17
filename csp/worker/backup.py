"""Tells where this server's backup listens, as the Application objects say."""

from __future__ import annotations

from typing import Any

import orjson

from csp.model.types import CLASSES
from csp.process.application import APPLICATION
from csp.worker.call import Lane

HOST = CLASSES["CfgHost"]


def backup_of(lane: Lane) -> str:
    """HOST:PORT of the backup of this server's Application; "" where there is none."""
    own = lane.applications.named(lane.reader, lane.info.app_name) or {}
    server = own.get("serverInfo") or {}
    backup = _object(lane, APPLICATION.id, server.get("backupServerDBID", 0))
    listens = backup.get("serverInfo") or {}
    host = _object(lane, HOST.id, listens.get("hostDBID", 0)).get("name", "")
    ports = [listens.get("port", ""), *(one.get("port", "") for one in backup.get("portInfos", ()))]
    port = next((one for one in ports if one), "")
    if not host or not port:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _object(lane: Lane, class_id: int, dbid: int) -> dict[str, Any]:
    found = lane.reader.get(class_id, dbid) if dbid else None
    shown: dict[str, Any] = orjson.loads(found) if found is not None else {}
    return shown
