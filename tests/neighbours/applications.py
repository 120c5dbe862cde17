"""Makes the Applications of proxies before they start: where they listen, whom they follow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import redis

from tests.neighbours.server import Server

MASTER_DBID = 99
PROTOTYPE = "of the tests"


def make_proxy_application(
    master: Server,
    name: str,
    place: tuple[str, int],
    above: Sequence[int] = (MASTER_DBID,),
    *,
    keepalive_seconds: int = 2,
    options: Mapping[str, Mapping[str, str]] | None = None,
) -> int:
    """Its DBID. `place`: host and port; `above`: the DBIDs of the servers that it may follow, the
    preferred first.
    """
    host, port = place
    watched = {"connProtocol": "addp"}
    watched |= {"timeoutLocal": keepalive_seconds, "timeoutRemote": keepalive_seconds}  # type: ignore[dict-item]
    with master.client() as client:
        return _create(
            client,
            "CfgApplication",
            name=name,
            appPrototypeDBID=_prototype(client),
            isServer=True,
            serverInfo={"hostDBID": host_dbid(client, host), "port": str(port)},
            portInfos=[{"id": "default", "port": str(port)}],
            appServerDBIDs=[{"appServerDBID": dbid, **watched} for dbid in above],
            tenantDBIDs=[1],
            workDirectory=".",
            commandLine="csp proxy",
            options=dict(options or {}),
        )


def place_master(master: Server, place: tuple[str, int]) -> None:
    """Has the master's own Application say where proxies reach it."""
    host, port = place
    with master.client() as client:
        changed = {"serverInfo.hostDBID": host_dbid(client, host), "serverInfo.port": str(port)}
        words = ("CFG.UPDATE", "CfgApplication", MASTER_DBID)
        client.execute_command(*words, json.dumps({"changed": changed}))
        ports = {"changed": {"portInfos": [{"id": "default", "port": str(port)}]}}
        client.execute_command(*words, json.dumps(ports))


def host_dbid(client: redis.Redis, name: str) -> int:
    """The Host of this name or address."""
    return _find(client, "CfgHost", name) or _create(client, "CfgHost", name=name)


def _prototype(client: redis.Redis) -> int:
    return _find(client, "CfgAppPrototype", PROTOTYPE) or _create(
        client, "CfgAppPrototype", name=PROTOTYPE, type="configurationserver"
    )


def _find(client: redis.Redis, class_name: str, name: str) -> int:
    found = client.execute_command("CFG.FIND", class_name, "name", name)
    return int(json.loads(found)["DBID"]) if found else 0


def _create(client: redis.Redis, class_name: str, **attributes: Any) -> int:
    return int(client.execute_command("CFG.CREATE", class_name, json.dumps(attributes))[1])
