"""A scene of two masters on one PostgreSQL, and two proxies below: who writes dies, or pauses.

What a master that stands by has published nobody can ask it: it takes no clients.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, ClassVar

from tests.neighbours.master_pair import MasterPair
from tests.neighbours.postgres import Postgres
from tests.neighbours.server import STOP_SECONDS_MAX, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.switchovers.blows import OF_MASTERS, Blow
from tests.switchovers.scenes import READY_SECONDS_MAX, TAKEN_SECONDS_MAX, Scene
from tests.validate.estate import fill, make_writable

MASTER_DBID = 99  # the Application of the configured primary


class Masters(Scene):
    """The configured primary is `master`, the other one `standby`."""

    kinds = OF_MASTERS
    masters_names: ClassVar[tuple[str, ...]] = ("master", "standby")

    def _begin(self) -> None:
        self.database = self._stack.enter_context(Postgres())
        self.pair = MasterPair(self.folder, self.database.new_url())
        self._stack.enter_context(self.pair)
        self.servers |= {"master": self.pair.first, "standby": self.pair.second}
        self.keys = fill(self.pair.first)
        _configure(self.pair)
        for name in self.halves_names:
            proxy = Proxy(self.folder, self.pair.first, app=name)
            self.servers[name] = self._stack.enter_context(proxy)
        for name in self.halves_names:
            make_writable(self.pair.first, self.servers[name], name)

    def origin(self) -> Server:
        """Who writes now."""
        return self.pair.primary

    def revisions(self) -> dict[str, int]:
        """Of those that can be asked."""
        standby = self.masters_names[self.pair.primary is self.pair.first]
        return {name: one for name, one in super().revisions().items() if name != standby}

    def generations(self) -> dict[str, Any]:
        """Of the proxies: nothing is loaded anew for another master."""
        return {name: self.status(name)["generation"] for name in self.halves_names}

    def strike(self, blow: Blow) -> None:
        """One takeover, and the one that was struck stands by."""
        victim, other = self.pair.primary, self.pair.backup
        began = time.monotonic()
        if blow.what == "kill master":
            self.pair.kill_all(victim)
            self._wait_taken(other, began)
            victim.start(ready=False)
        elif blow.what == "stop master":
            assert victim.process is not None
            victim.process.terminate()
            victim.process.wait(STOP_SECONDS_MAX)
            self._wait_taken(other, began)
            victim.start(ready=False)
        elif blow.what == "freeze master":
            self.pair.pause(victim)
            self._wait_taken(other, began)
            time.sleep(blow.seconds)
            self.pair.resume()
        elif blow.what == "hand over master":
            with victim.client() as client:
                client.execute_command("CFG.SWITCHOVER")
            self._wait_taken(other, began)
        else:
            self.database.pause()
            time.sleep(blow.seconds)
            self.database.resume()
            self._one_writes(lambda: self._writer() is not None)
            victim = self.pair.second if self._writer() is self.pair.first else self.pair.first
        self.pair.wait_stands_by(victim, READY_SECONDS_MAX)

    def _writer(self) -> Master | None:
        """The one that takes clients."""
        found = [one for one in (self.pair.first, self.pair.second) if one.answers()]
        return found[0] if len(found) == 1 else None

    def _wait_taken(self, other: Master, began: float) -> None:
        self._one_writes(other.answers)
        self.taken.append(time.monotonic() - began)

    def _one_writes(self, there: Callable[[], bool]) -> None:
        wait_until(there, TAKEN_SECONDS_MAX, "one master serves")


def _configure(pair: MasterPair) -> None:
    """Has the configuration say where proxies find the other master."""
    with pair.first.client() as client:
        host = {"name": "standby-host", "IPaddress": "127.0.0.1", "type": "server"}
        host_dbid = client.execute_command("CFG.CREATE", "CfgHost", json.dumps(host))[1]
        own = json.loads(client.execute_command("GET", f"CfgApplication:{MASTER_DBID}"))
        backup = {
            "name": pair.second.app,
            "appPrototypeDBID": own["appPrototypeDBID"],
            "isServer": True,
            "serverInfo": {"hostDBID": host_dbid, "port": str(pair.second.port)},
            "workDirectory": ".",
            "commandLine": "csp master",
        }
        dbid = client.execute_command("CFG.CREATE", "CfgApplication", json.dumps(backup))[1]
        changed = {"redundancyType": "htwarmstanby", "serverInfo.backupServerDBID": dbid}
        delta = json.dumps({"changed": changed})
        client.execute_command("CFG.UPDATE", "CfgApplication", MASTER_DBID, delta)
