"""Starts a pair of real proxies below a master, and says which of its halves serves.

1. The Applications are made before the servers start: `first` is the configured primary.
2. Each half has a port for administrators beside the default one, which only the half that serves
   has open, and a port for its peer.
3. What the two say to each other, and each to the master, goes over links that a test can cut
   (`cuttable`): the number of the port for the peer is then the link's, and the port itself has
   another id behind it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import redis

from csp._fastpath import Control
from csp.model.redundancy import WARM_STANDBY
from csp.process.standing import Standing, shown
from csp.store import segment
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.leaks import INSTANCE
from tests.neighbours.ports import free_port, is_listening
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until

HERE = "127.0.0.1"
MASTER_DBID = 99  # the Application of a master
SETTLED_SECONDS_MAX = 30.0


class Half(Proxy):
    """One of the two."""

    def __init__(
        self, folder: Path, master: Server, app: str, *, workers: int, cuttable: bool
    ) -> None:
        up = CuttingLink(master.port) if cuttable else None
        super().__init__(folder, up.port if up else master, app=app, workers=workers, extra=())
        self.dbid = 0
        self.management = free_port()
        self.ha_sync = free_port()
        self.up = up  # its link to the master
        self.across = CuttingLink(self.ha_sync) if cuttable else None  # its peer's link to it

    @property
    def is_serving(self) -> bool:
        """Whether clients are let in."""
        return self.standing().serving and is_listening(self.port)

    def at_open_port(self, **options: Any) -> redis.Redis:
        return self.administrator(**options)

    def administrator(self, **options: Any) -> redis.Redis:
        """A client of the port that is open on both halves."""
        options = {"socket_timeout": 20, "decode_responses": True} | options
        return redis.Redis(HERE, self.management, username="default", password=PASSWORD, **options)

    def standing(self) -> Standing:
        """How it stands in its pair, as its writer shows it; while nothing runs, a single one's
        that does not serve.
        """
        found = INSTANCE.findall(self.log.read_text(errors="replace"))
        try:
            fd = segment.open_control(found[-1])
        except (IndexError, segment.SegmentMissing):
            return Standing(serving=False)
        try:
            control = Control(fd)
            return replace(shown(control), serving=bool(control.serving))
        finally:
            os.close(fd)

    def status(self) -> dict[str, Any]:
        """CFG.STATUS, whether it serves or not."""
        with self.administrator(protocol=3) as client:
            found: dict[str, Any] = client.execute_command("CFG.STATUS")
        return found

    def port_infos(self) -> list[dict[str, str]]:
        """The ports as its Application states them."""
        rows = [
            {"id": "default", "port": str(self.port)},
            {"id": "admin", "port": str(self.management), "transportParams": "management=1"},
        ]
        if self.across is not None:  # taken: this server can't bind it, and its peer comes by it
            rows.append({"id": "ha", "port": str(self.across.port), "transportParams": "ha-sync=1"})
        number = str(self.ha_sync)
        rows.append({"id": "ha-itself", "port": number, "transportParams": "ha-sync=1"})
        return rows

    def close_links(self) -> None:
        """Ends the links that a test may cut."""
        for link in (self.up, self.across):
            if link is not None:
                link.close()


class ProxyPair:
    """Two proxies of one master."""

    def __init__(
        self,
        folder: Path,
        master: Master,
        *,
        name: str = "pair",
        workers: int = 1,
        keepalive: tuple[int, int] | None = None,
        cuttable: bool = False,
        options: Mapping[str, Mapping[str, str]] | None = None,
        middle: Server | None = None,
    ) -> None:
        """`keepalive`: seconds of the connection to the master, both ways; `options` of both;
        `middle`: a proxy by which the second one goes to the master.
        """
        self.master = master
        self.first, self.second = (
            Half(folder, above, f"{name}-{number}", workers=workers, cuttable=cuttable)
            for number, above in ((1, master), (2, middle or master))
        )
        self._keepalive = keepalive
        self._options = options or {}
        self._make()

    @property
    def halves(self) -> tuple[Half, Half]:
        """The configured primary, and the other."""
        return self.first, self.second

    @property
    def serving(self) -> Half | None:
        """The one that lets clients in; None where none does, or both do."""
        found = [half for half in self.halves if half.is_serving]
        return found[0] if len(found) == 1 else None

    def other(self, half: Half) -> Half:
        """The peer of a half."""
        return self.second if half is self.first else self.first

    def start(self) -> Self:
        """Starts both, and waits until the configured primary serves and the other is ready."""
        for half in self.halves:
            half.start(ready=False)
        for half in self.halves:
            half.wait_ready()
        self.wait_serving(self.first)
        self.wait_seamless()
        return self

    def wait_serving(self, half: Half, within: float = SETTLED_SECONDS_MAX) -> None:
        """Waits until this half alone lets clients in."""
        wait_until(lambda: self.serving is half, within, f"{half.app} alone serves")

    def wait_seamless(self, within: float = SETTLED_SECONDS_MAX) -> None:
        """Waits until one serves, and the other one may take over at any time."""

        def is_so() -> bool:
            found = [half.standing() for half in self.halves]
            return sum(one.serving for one in found) == 1 and not any(one.why_not for one in found)

        wait_until(is_so, within, "a switchover would be seamless")

    def cut_across(self) -> None:
        """Cuts what the two say to each other, until `mend`."""
        for half in self.halves:
            _cut(half.across)

    def mend(self) -> None:
        """All links lead on again."""
        for half in self.halves:
            for link in (half.up, half.across):
                if link is not None:
                    link.refuses = False

    def __enter__(self) -> Self:
        try:
            return self if self.first.process else self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with contextlib.ExitStack() as stack:
            for half in self.halves:
                stack.callback(half.close_links)
                stack.push(half.__exit__)

    # The configuration.

    def join(self) -> None:
        """Has the configuration say that the two are a pair."""
        change = {"serverInfo.backupServerDBID": self.second.dbid, "redundancyType": WARM_STANDBY}
        self.change(self.first, **change)

    def split(self) -> None:
        """Has the configuration say that they are single servers."""
        change = {"serverInfo.backupServerDBID": 0, "redundancyType": "htnohatype"}
        self.change(self.first, **change)

    def change(self, half: Half, **changed: Any) -> None:
        """Changes attributes of a half's Application."""
        with self.master.client() as client:
            delta = json.dumps({"changed": changed})
            client.execute_command("CFG.UPDATE", "CfgApplication", half.dbid, delta)

    def _make(self) -> None:
        with self.master.client() as client:
            host = _host_dbid(client)
            prototype = _create(
                client,
                "CfgAppPrototype",
                name=f"of {self.first.app}",
                type="configurationserver",
            )
            for half in self.halves:
                application = self._application(half, host, prototype)
                half.dbid = _create(client, "CfgApplication", **application)
        self.join()

    def _application(self, half: Half, host: int, prototype: int) -> dict[str, Any]:
        connection: dict[str, Any] = {"appServerDBID": MASTER_DBID}
        if self._keepalive is not None:
            local, remote = self._keepalive
            connection |= {"connProtocol": "addp", "timeoutLocal": local, "timeoutRemote": remote}
        return {
            "name": half.app,
            "appPrototypeDBID": prototype,
            "isServer": True,
            "serverInfo": {"hostDBID": host, "port": str(half.port)},
            "portInfos": half.port_infos(),
            "appServerDBIDs": [connection],
            "tenantDBIDs": [1],
            "workDirectory": ".",
            "commandLine": "csp proxy",
            "options": dict(self._options),
        }


def _cut(link: CuttingLink | None) -> None:
    assert link is not None, "the pair is not cuttable"
    link.refuses = True
    link.cut()


def _create(client: redis.Redis, class_name: str, **attributes: Any) -> int:
    return int(client.execute_command("CFG.CREATE", class_name, json.dumps(attributes))[1])


def _host_dbid(client: redis.Redis) -> int:
    """The Host of this machine, as both are reached."""
    try:
        found = client.execute_command("CFG.FIND", "CfgHost", "name", HERE)
    except redis.ResponseError:
        found = None
    return int(json.loads(found)["DBID"]) if found else _create(client, "CfgHost", name=HERE)
