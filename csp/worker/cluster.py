"""Shows a member of a pool to clients as the pool's Application: its name, DBID and address.

1. `[csproxy] proxy-cluster-name` names that Application, the placeholder of the balancer. It runs
   nowhere, so nobody waits for it; clients have their connections to it, keepalive and all.
2. A member has no backup to tell: who loses it connects to the pool's address again.
3. Where the placeholder is not there, or is of another type, the member shows its own name, and an
   alarm says why.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from csp.model.redundancy import CLUSTER, is_server
from csp.process.application import application_of, dbid_of, host_name_of
from csp.process.places import for_clients
from csp.process.ports import Security
from csp.store.alarms import ALARM_POOL, end_alarm, raise_alarm
from csp.worker.call import Lane


class Shown(NamedTuple):
    """How clients are told of this server."""

    name: str
    dbid: int
    is_pool: bool


def shown_as(lane: Lane) -> Shown:
    """The pool's Application, or this server's own; DBID 0 where that is not known."""
    info = lane.info
    name = cluster_name(lane)
    found = lane.applications.named(lane.reader, name) if name and not lane.loading else None
    if found is not None and is_server(found) and name != info.app_name:
        return Shown(name, int(found["DBID"]), True)
    dbid = info.app_dbid
    if not dbid and not lane.loading:
        dbid = dbid_of(lane.reader, "CfgApplication", "name", info.app_name)
    return Shown(info.app_name, dbid, False)


def cluster_name(lane: Lane) -> str:
    """What the option says; empty: this server is no member of a pool."""
    return str(lane.info.options.get(CLUSTER[1]) or "")


def words_of(lane: Lane, conn: int) -> dict[str, str | int]:
    """What CFG.REGISTER tells of the server: the address is a pool's, empty for all others."""
    shown = shown_as(lane)
    address = _address(lane, shown, secured=bool(lane.loop.session(conn).secured))
    return {"server": shown.name, "server_dbid": shown.dbid, "server_address": address}


def pool_address(lane: Lane) -> str:
    """HOST:PORT of the pool to which this server belongs, as its default port is secured; empty
    where it belongs to none, or the pool's Application does not say where it is.
    """
    secured = lane.info.port_of(0).security is Security.SECURED
    return _address(lane, shown_as(lane), secured=secured)


def _address(lane: Lane, shown: Shown, *, secured: bool) -> str:
    if not shown.is_pool:
        return ""
    pool: dict[str, Any] = orjson.loads(application_of(lane.reader, shown.name) or b"{}")
    host = host_name_of(lane.reader, pool)
    return for_clients(pool, host, secured=secured).address


def watch_pool(lane: Lane) -> None:
    """Raises the alarm of a placeholder that can't be shown, and takes it back."""
    info, name = lane.info, cluster_name(lane)
    reason = ""
    if name and name == info.app_name:
        reason = "is this server's own Application"
    elif name:
        found = lane.applications.named(lane.reader, name)
        if found is None:
            reason = "does not exist"
        elif not is_server(found):
            reason = f"is of type {found.get('type')}, not configurationserver"
    if reason:
        raise_alarm(lane.control, ALARM_POOL, app=info.app_name, pool=name, reason=reason)
    else:
        end_alarm(lane.control, ALARM_POOL, app=info.app_name)
