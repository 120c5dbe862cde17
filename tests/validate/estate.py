"""The servers of a run: a master, proxies of it, one behind a proxy, and the links between them."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any, Self

import orjson
import psutil

from tests.neighbours.server import STOP_SECONDS_MAX, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.validate.actor import APPLICATION, CLASSES
from tests.validate.blows import Blow
from tests.validate.levels import Levels
from tests.validate.links import Link, Network
from tests.validate.writer import new_object

OBJECTS = 24  # of each class, in two tenants


class Estate(Levels):
    """Starts and ends them, strikes them, and says how far each has come."""

    def __init__(self, folder: Path, network: Network, *, workers: int, chain: bool) -> None:
        self.folder, self.network = folder, network
        self.workers, self.chain = workers, chain
        self.servers: dict[str, Server] = {}
        self.feeds: dict[str, Link] = {}  # by proxy: to its master
        self.fronts: dict[str, Link] = {}  # by server: from its clients
        self.keys: list[str] = []
        self.forgotten: set[str] = set()  # proxies that had to load anew

    def __enter__(self) -> Self:
        master = Master(self.folder, workers=self.workers)
        master.listens_at = self.network.listens_at
        self.servers["master"] = master
        try:
            master.start()
            self._add_proxy("first", master)
            self._add_proxy("second", master)
            self.keys = fill(master)
            make_writable(master, self.servers["first"], "first")
            if self.chain:
                self._add_proxy("third", self.servers["first"])
            for name, server in self.servers.items():
                self.fronts[name] = self.network.link(server.port)
            self.wait_level()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        for link in self.fronts.values():
            link.close()
        found = None
        for name, server in reversed(self.servers.items()):
            try:
                server.__exit__()
            except AssertionError as error:  # the others are ended all the same
                found = error
            if name in self.feeds:  # else its master has half a connection left
                self.feeds[name].close()
        if found is not None and not any(problem):
            raise found

    def _add_proxy(self, name: str, master: Server) -> None:
        link = self.feeds[name] = self.network.link(master.port)
        proxy = Proxy(self.folder, link.port, workers=self.workers, app=name)
        proxy.master_host, proxy.listens_at = link.host, self.network.listens_at
        self.servers[name] = proxy
        proxy.start()

    # ------------------------------------------------------------------ looking

    def origin(self) -> Server:
        """The master."""
        return self.servers["master"]

    def leaves(self) -> tuple[str, ...]:
        """The servers that nobody follows."""
        return ("second", "third") if self.chain else ("first", "second")

    def status(self, name: str) -> dict[str, Any]:
        return status(self.servers[name])

    def verdict(self, name: str) -> str:
        """What is wrong with what a proxy holds; empty: nothing."""
        done = self.servers[name].cli("verify")
        return f"{done.stdout}{done.stderr}" if done.returncode else ""

    # ------------------------------------------------------------------ striking

    def strike(self, blow: Blow) -> None:
        """Does it, and undoes it where it lasts for a time."""
        server = self.servers[blow.server]
        if blow.where == "front":
            self._strike_link(self.fronts[blow.server], blow)
        elif blow.where == "feed":
            self._strike_link(self.feeds[blow.server], blow)
        elif blow.what == "crash":
            server.kill()
            server.start()
        elif blow.what in ("restart", "forget"):
            self._restart(blow.server, forget=blow.what == "forget")
        else:
            self._strike_process(server, blow)

    def _strike_link(self, link: Link, blow: Blow) -> None:
        link.strike(blow.what)
        time.sleep(blow.seconds)
        link.go_on()

    def _restart(self, name: str, *, forget: bool) -> None:
        server = self.servers[name]
        assert server.process is not None
        if forget:
            self.wait_reached(max(self.revisions().values()))  # its master can tell it all again
        server.process.send_signal(signal.SIGTERM)  # with clients on it: none of them is asked
        server.process.wait(STOP_SECONDS_MAX)
        if forget:
            server.forget()
            self.forgotten.add(name)
        server.start()

    def _strike_process(self, server: Server, blow: Blow) -> None:
        assert server.process is not None
        try:
            victim = (
                psutil.Process(server.process.pid)
                if blow.where == "supervisor"
                else server.child(blow.where)
            )
            if blow.what == "kill":
                victim.kill()
                return
            victim.send_signal(signal.SIGSTOP)
            time.sleep(blow.seconds)
            victim.send_signal(signal.SIGCONT)
        except psutil.NoSuchProcess:
            return  # its supervisor was quicker


def status(server: Server) -> dict[str, Any]:
    """CFG.STATUS, asked for by the back door: no link is between."""
    with server.client(protocol=3, socket_timeout=5) as client:
        found: dict[str, Any] = client.execute_command("CFG.STATUS")
    return found


def fill(master: Server) -> list[str]:
    """A second tenant, an application to register as, and the objects that are changed; these."""
    keys = []
    with master.client() as client:
        tenant = {"name": "other", "isServiceProvider": False}
        made = client.execute_command("CFG.CREATE", "CfgTenant", orjson.dumps(tenant))[1]
        assert made == 101, "the clients say 101 for the second tenant"
        desk = {"name": APPLICATION, "appPrototypeDBID": 10, "tenantDBIDs": [1]}
        client.execute_command(
            "CFG.CREATE", "CfgApplication", orjson.dumps(desk | {"isServer": False})
        )
        for number in range(OBJECTS):
            for class_name in CLASSES:
                content = new_object(class_name, f"{class_name}{number}", (1, 101)[number % 2])
                made = client.execute_command("CFG.CREATE", class_name, orjson.dumps(content))
                keys.append(f"{class_name}:{made[1]}")
    return keys


def make_writable(master: Server, proxy: Server, name: str) -> None:
    """Has a proxy take writes; `name` is its Application's."""
    with master.client() as client:
        page = client.execute_command("CFG.READ", "CfgApplication", "FILTER", "name", name)
        dbid = orjson.loads(page[2][0])["DBID"]
        delta = {"options": {"changed": {"csproxy": {"proxy-writable": "true"}}}}
        client.execute_command("CFG.UPDATE", "CfgApplication", dbid, orjson.dumps(delta))
    wait_until(lambda: status(proxy)["writable"], 10, f"{name} is writable")
