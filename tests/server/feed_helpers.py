"""What the tests of feed and verification share: a steady writer, and looks at a server's state."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from typing import Any, Self

import redis

from tests.neighbours.server import Proxy, Server
from tests.neighbours.waiting import wait_until

CHANGES_PER_SECOND = 200
DESK = "Desk"


def create_skills(server: Server, names: list[str]) -> list[int]:
    """Creates skills in one transaction; their DBIDs."""
    with server.client() as client:
        pipe = client.pipeline(transaction=True)
        for name in names:
            pipe.execute_command(
                "CFG.CREATE", "CfgSkill", json.dumps({"name": name, "tenantDBID": 1})
            )
        return [int(reply[1]) for reply in pipe.execute()]


def create_desk(server: Server, name: str = DESK) -> int:
    """An application that clients register as; its DBID."""
    desk = {"name": name, "appPrototypeDBID": 10, "tenantDBIDs": [1], "isServer": False}
    with server.client() as client:
        _, dbid = client.execute_command("CFG.CREATE", "CfgApplication", json.dumps(desk))
    return int(dbid)


def rename_skill(server: Server, dbid: int, names: Iterable[str]) -> int:
    """Gives it these names, one after the other; the last revision."""
    revision = 0
    with server.client() as client:
        for name in names:
            delta = json.dumps({"changed": {"name": name}})
            revision = client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta)
    return int(revision)


def status(server: Server) -> dict[str, Any]:
    """CFG.STATUS as a dict."""
    with server.client() as client:
        reply = client.execute_command("CFG.STATUS")
    if isinstance(reply, list):
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    return {str(name): value for name, value in reply.items()}


def wait_level(master: Server, proxy: Server, within: float = 20.0) -> int:
    """Waits until the proxy has the master's state; the revision."""

    def is_level() -> int:
        above, below = status(master), status(proxy)
        same = all(above[name] == below[name] for name in ("stream", "revision", "mark"))
        return int(below["revision"]) if same else 0

    return wait_until(is_level, within, "the proxy has what the master has")


def set_writable(master: Server, proxy: Proxy, value: str = "true") -> None:
    """Sets the option in the proxy's Application, and waits until it holds."""
    with master.client() as client:
        dbid = application_of(client, proxy.app)["DBID"]
        delta = {"options": {"changed": {"csproxy": {"proxy-writable": value}}}}
        client.execute_command("CFG.UPDATE", "CfgApplication", dbid, json.dumps(delta))
    wanted = int(value == "true")
    wait_until(lambda: status(proxy)["writable"] == wanted, 10, "the option holds")


def let_in(server: Server, person: int) -> None:
    """This person may see and do everything."""
    with server.client() as client:
        words = ("name", "Super Administrators", "tenant_dbid", 1)
        group = json.loads(client.execute_command("CFG.FIND", "CfgAccessGroup", *words))
        delta = json.dumps({"added": {"memberIDs": [{"type": "person", "DBID": person}]}})
        client.execute_command("CFG.UPDATE", "CfgAccessGroup", group["DBID"], delta)


def application_of(client: redis.Redis, name: str) -> dict[str, Any]:
    """The Application of this name."""
    page = client.execute_command("CFG.READ", "CfgApplication", "FILTER", "name", name)
    found: dict[str, Any] = json.loads(page[2][0])
    return found


class SteadyWriter:
    """Renames skills, CHANGES_PER_SECOND times a second, until it is left.

    The first change is made when it is entered; a test that needs others waits for `more`.
    """

    def __init__(self, master: Server, dbids: list[int]) -> None:
        self.count = 0
        self.revision = 0  # of its newest change
        self.problem: BaseException | None = None
        self._master = master
        self._dbids = dbids
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.more(1)
        return self

    def more(self, changes: int) -> None:
        """Waits for so many changes beyond those of now."""
        wanted = self.count + changes
        wait_until(lambda: self.count >= wanted or self.problem, 20, "changes are made")

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(20)
        assert self.problem is None, self.problem

    def _run(self) -> None:
        try:
            with self._master.client() as client:
                began = time.monotonic()
                while not self._ends.wait(
                    max(0, self.count / CHANGES_PER_SECOND - time.monotonic() + began)
                ):
                    dbid = self._dbids[self.count % len(self._dbids)]
                    delta = json.dumps({"changed": {"name": f"skill {dbid} turn {self.count}"}})
                    self.revision = client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta)
                    self.count += 1
        except Exception as problem:  # noqa: BLE001 (told in the test's thread)
            self.problem = problem
