"""Reads a proxy's own Application object, and its Host, from the master, or makes them there.

Runs in a short-lived child, before the writer: the supervisor itself never waits for the network.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from csp.client import Address, CannotConnect, Client, ConnectionLost, Credentials
from csp.client.connection import Connection
from csp.client.steps import Open, Step
from csp.errors import CspError
from csp.exits import EXIT_NO_CONNECTION, EXIT_REFUSED, EXIT_USAGE
from csp.feed.above import Above
from csp.feed.route import Route
from csp.model.redundancy import SERVER_TYPE, is_server, pair_of
from csp.model.types import ENVIRONMENT
from csp.observe.clock import monotonic_ms
from csp.observe.events import log_event
from csp.process.application import host_dbid_of
from csp.process.context import StartRefused, Upstream
from csp.process.credentials import PasswordFileRefused, renewed
from csp.process.lookup import POLL_SECONDS, LookupFailed
from csp.supervisor.application import (
    PORT_ID,
    ApplicationWanted,
    why_unfit,
)
from csp.supervisor.bootstrap import Own

WAIT_WORDS = ("LOADING", "BUSY", "MASTERDOWN")  # a master that can't answer yet
log = logging.getLogger("csp.supervisor")


def fetch_application(upstream: Upstream, wanted: ApplicationWanted, folder: Path) -> Own:
    """The Application object and its Host; raises StartRefused with the exit code that fits.

    `folder`: the state folder, where an earlier run wrote down where the master's backup listens.
    """
    told = {"host": upstream.shown_host, "port": upstream.port}
    log_event(log, "04500", **told)
    try:
        upstream = renewed(upstream)
    except PasswordFileRefused as error:
        log_event(log, "51335", reason=error)
    try:
        found = _ask_somewhere(upstream, wanted, folder)
    except (CannotConnect, ConnectionLost, LookupFailed) as error:
        log_event(log, "04502", **told, reason=error)
        raise StartRefused(EXIT_NO_CONNECTION, "the master is not there") from None
    except CspError as error:
        if error.WORD in WAIT_WORDS:
            log_event(log, "04502", **told, reason=error.line)
            raise StartRefused(EXIT_NO_CONNECTION, "the master is not ready") from None
        raise StartRefused(
            EXIT_REFUSED, f"refused by the master {upstream.address}: {error.line}"
        ) from None
    reason = why_unfit(found.application if found else None, wanted)
    if found is None or reason:
        raise StartRefused(EXIT_USAGE, f"Application {wanted.name!r} {reason}")
    return found


def _ask_somewhere(upstream: Upstream, wanted: ApplicationWanted, folder: Path) -> Own | None:
    """The answer of the first that has one: the master's addresses, then its backup's; the last
    one's error.
    """
    above = Above(upstream, str(folder))
    above.begin(monotonic_ms())
    tried: list[Route] = []
    while True:
        routes = above.take(monotonic_ms())  # anew: the backup's name may be known only now
        if routes is None:
            time.sleep(POLL_SECONDS)
            continue
        route = next(one for one in routes if one not in tried)
        tried.append(route)
        try:
            return _ask(route, upstream, wanted)
        except (CannotConnect, ConnectionLost) as error:
            if all(one in tried for one in above.take(monotonic_ms()) or ()):
                raise
            log_event(log, "04502", host=route.host, port=route.endpoint.sockaddr[1], reason=error)


def _ask(route: Route, upstream: Upstream, wanted: ApplicationWanted) -> Own | None:
    with _Asking(route, upstream, wanted.name) as master:
        found = master.find("CfgApplication", name=wanted.name)
        if found is None and wanted.may_create:
            _create(master, wanted)
            found = master.find("CfgApplication", name=wanted.name)
        if found is None:
            return None
        _keep_links_up(master, found)
        dbid = host_dbid_of(found)
        host = master.find("CfgHost", dbid=str(dbid)) if dbid else None
        return Own(found, host or {}, _pair_of(master, found))


def _pair_of(master: Client, application: dict[str, Any]) -> int:
    """The pair that it belongs to, by its configured primary; 0: none."""

    def get(dbid: int) -> dict[str, Any] | None:
        return master.get("CfgApplication", dbid)

    def named_by(dbid: int) -> list[dict[str, Any]]:
        return list(master.read("CfgApplication", [("backup_server_dbid", dbid)]))

    pair = pair_of(application, get, named_by)
    return pair.dbid if pair is not None else 0


class _Asking(Client):
    """A client that goes out from where the proxy's links do, by TLS if they do."""

    def __init__(self, route: Route, upstream: Upstream, name: str) -> None:
        tls = route.tls and replace(route.tls, name=route.tls.name_of(route.host))
        address = Address(*route.endpoint.sockaddr[:2])
        credentials = Credentials(upstream.user, upstream.password)
        super().__init__(address, credentials, name=f"csp-{name}", reconnect_seconds=0, tls=tls)
        self._route = route

    def _do(self, step: Step) -> Any:
        if not isinstance(step, Open):
            return super()._do(step)
        self.close()
        self._connection = Connection(
            step.address,
            self._core.tls,
            lambda made: self._route.source.bind(made, to_backup=self._route.to_backup, number=0),
        )
        return None


def _keep_links_up(master: Client, application: dict[str, Any]) -> None:
    """Leaves of its connections those to servers as the master is: they say of links what holds."""
    kept = []
    for connection in application.get("appServerDBIDs") or ():
        server = master.get("CfgApplication", connection["appServerDBID"])
        if is_server(server):
            kept.append(connection)
    if kept:
        application["appServerDBIDs"] = kept
    else:
        application.pop("appServerDBIDs", None)


def _create(master: Client, wanted: ApplicationWanted) -> None:
    """Makes Host and Application in one transaction."""
    if wanted.listen is None:
        raise StartRefused(
            EXIT_USAGE, "--create-app needs --listen HOST:PORT: the port goes into it"
        )
    host_name = socket.gethostname()
    host = master.find("CfgHost", name=host_name)
    prototype = _one_of_type(master, "CfgAppPrototype", "type", "app_type")
    commands: list[list[str | bytes]] = []
    if host is None:
        commands.append(["CFG.CREATE", "CfgHost", orjson.dumps({"name": host_name})])
    application: dict[str, Any] = {
        "name": wanted.name,
        "appPrototypeDBID": prototype["DBID"],
        "isServer": True,
        "serverInfo": {
            "hostDBID": host["DBID"] if host else "@1",
            "port": str(wanted.listen.port),
        },
        "portInfos": [{"id": PORT_ID, "port": str(wanted.listen.port)}],
        "tenantDBIDs": [ENVIRONMENT],
        "workDirectory": ".",
        "commandLine": "csp proxy",
    }
    above = _application_of(master)
    if above is not None:
        application["appServerDBIDs"] = [{"appServerDBID": above["DBID"]}]
    commands.append(["CFG.CREATE", "CfgApplication", orjson.dumps(application)])
    replies = master.pipeline([["MULTI"], *commands, ["EXEC"]])
    for reply in (*replies[1:-1], replies[-1]):
        if isinstance(reply, CspError):
            raise StartRefused(
                EXIT_REFUSED, f"the master did not make Application {wanted.name!r}: {reply.line}"
            )
    log_event(log, "51019", app=wanted.name, application=json.dumps(application))


def _application_of(master: Client) -> dict[str, Any] | None:
    """The Application of the server above us: the one it names, else the first of its type."""
    name = master.status().get("application")
    if name:
        return master.find("CfgApplication", name=str(name))
    for application in master.read("CfgApplication", [("app_type", SERVER_TYPE)], limit=1):
        return application
    return None


def _one_of_type(master: Client, class_name: str, attribute: str, key: str) -> dict[str, Any]:
    """The prototype for proxies: of the right type, the newest one made for proxies first."""
    found = [item for item in master.read(class_name) if item.get(attribute) == SERVER_TYPE]
    if not found:
        raise StartRefused(EXIT_USAGE, f"the master has no {class_name} of type {SERVER_TYPE}")
    return max(found, key=lambda item: ("proxy" in item["name"].lower(), item["DBID"]))
