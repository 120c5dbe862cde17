"""An estate whose rights change at random, and what several persons are shown of it meanwhile.

The administrator makes every change and notes the world at each revision; a watcher is a person's
session on one server, that subscribes to everything and keeps what it was told.
"""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import redis

from tests.neighbours.server import Server
from tests.neighbours.waiting import wait_until
from tests.server.permission_world import Object, World

RIGHTS = ("R", "R,propagate", "none", "none,propagate", "R,U,propagate", "X", "R,X,RP,propagate")
SECRET = "rights are checked"  # of accounts that live as long as a test
SIGN_IN_SECONDS_MAX = 20.0
CLASSES = ("CfgTenant", "CfgFolder", "CfgPerson", "CfgSkill", "CfgAccessGroup", "CfgApplication",
           "CfgHost", "CfgAppPrototype", "CfgPlace", "CfgSwitch", "CfgPhysicalSwitch")  # fmt: skip


class Estate:
    """Changes made by the administrator at the master, and the worlds that they made."""

    def __init__(self, master: Server, rng: random.Random) -> None:
        self.rng = rng
        self.client = master.client()
        self.persons: list[str] = []
        self.groups: list[str] = []
        self.folders: list[str] = []
        self.world = World()
        self.worlds: dict[int, World] = {}
        self._names = 0
        self._look()
        self._found()

    def _look(self) -> None:
        """Reads all that there is anew, at one revision after the other that nobody else makes."""
        for name in CLASSES:
            cursor = "0"
            while True:
                revision, cursor, objects = self.client.execute_command(
                    "CFG.READ", name, "CURSOR", cursor
                )
                for one in map(json.loads, objects):
                    self.world.objects[f"{name}:{one['DBID']}"] = one
                if cursor in ("0", b"0"):
                    break
        for key in self.world.objects:
            own = self.client.execute_command("CFG.PERMISSIONS", key)[1]
            if own:
                self.world.grants[key] = dict(own)
        self.worlds[int(revision)] = self.world.copy()

    def _found(self) -> None:
        """The persons and groups of the test; all may register as `default`."""
        self.groups = [self._make_group(f"G{number}") for number in range(3)]
        desk = self._make_group("Desk")
        for number in range(3):
            self.persons.append(self.create("CfgPerson", {
                "tenantDBID": 1, "userName": f"p{number}", "employeeID": f"p{number}",
                "isAgent": False, "password": SECRET}))  # fmt: skip
        members = [{"type": "person", "DBID": int(one.partition(":")[2])} for one in self.persons]
        self.update(desk, {"added": {"memberIDs": members}})
        self.grant("CfgApplication:100", desk, "R,X")
        root = next(key for key, one in self.world.objects.items()
                    if one["class"] == "CfgFolder" and one["type"] == "skill"
                    and not one["folderDBID"])  # fmt: skip
        self.folders.append(root)
        for _ in range(3):
            self.make_folder()
        for _ in range(6):
            self.make_skill()

    # ---- changes, each noted ----

    def _noted(self, revision: Any) -> None:
        self.worlds[int(revision)] = self.world.copy()

    def _read(self, key: str) -> None:
        text = self.client.get(key)
        if text is None:
            self.world.objects.pop(key, None)
        else:
            self.world.objects[key] = json.loads(text)

    def create(self, name: str, obj: Object) -> str:
        revision, dbid = self.client.execute_command("CFG.CREATE", name, json.dumps(obj))
        key = f"{name}:{dbid}"
        self._read(key)
        self._noted(revision)
        return key

    def update(self, key: str, delta: Object) -> None:
        name, _, dbid = key.partition(":")
        revision = self.client.execute_command("CFG.UPDATE", name, dbid, json.dumps(delta))
        self._read(key)
        self._noted(revision)

    def note_change(self, key: str, revision: int) -> None:
        """Somebody else has changed it."""
        self._read(key)
        self._noted(revision)

    def delete(self, key: str) -> None:
        """With all that the rules say goes or changes with it: read anew."""
        name, _, dbid = key.partition(":")
        revision = self.client.execute_command("CFG.DELETE", name, dbid)
        del self.world.objects[key]
        self.world.grants.pop(key, None)
        for granted in self.world.grants.values():
            granted.pop(key, None)
        for other in list(self.world.objects):
            self._read(other)
        self._noted(revision)

    def grant(self, key: str, account: str, words: str) -> None:
        revision = self.client.execute_command("CFG.GRANT", key, account, words)
        self.world.grants.setdefault(key, {})[account] = words
        self._read(key)
        self._noted(revision)

    def revoke(self, key: str, account: str) -> None:
        revision = self.client.execute_command("CFG.REVOKE", key, account)
        self.world.grants[key].pop(account)
        self._read(key)
        self._noted(revision)

    def _make_group(self, name: str) -> str:
        info = {"tenantDBID": 1, "name": name}
        return self.create("CfgAccessGroup", {"groupInfo": info, "type": "defaultgroup"})

    def make_folder(self) -> None:
        self._names += 1
        parent = self.rng.choice(self.folders)
        self.folders.append(self.create("CfgFolder", {
            "name": f"f{self._names}", "type": "skill", "folderDBID": int(parent.partition(":")[2]),
            "ownerID": {"type": "tenant", "DBID": 1}}))  # fmt: skip

    def make_skill(self) -> str:
        self._names += 1
        folder = int(self.rng.choice(self.folders).partition(":")[2])
        return self.create(
            "CfgSkill", {"tenantDBID": 1, "name": f"s{self._names}", "folderDBID": folder}
        )

    # ---- one change at random ----

    def skills(self) -> list[str]:
        return [key for key, one in self.world.objects.items() if one["class"] == "CfgSkill"]

    def step(self) -> str:
        """Changes something; says what."""
        what = self.rng.choice(
            ["grant"] * 5 + ["revoke", "revoke", "make", "move", "move folder", "member", "member",
             "group", "rename", "delete", "nest"])  # fmt: skip
        with contextlib.suppress(redis.ResponseError):  # a rule refused it: nothing was changed
            getattr(self, "_" + what.replace(" ", "_"))()
        return what

    def _grant(self) -> None:
        places = [*self.folders, *self.skills(), "CfgTenant:1", *self.groups, *self.persons]
        account = self.rng.choice([*self.persons, *self.groups])
        self.grant(self.rng.choice(places), account, self.rng.choice(RIGHTS))

    def _revoke(self) -> None:
        mine = {*self.persons, *self.groups}
        there = [(key, one) for key, granted in self.world.grants.items() for one in granted
                 if one in mine]  # fmt: skip
        if there:
            self.revoke(*self.rng.choice(there))

    def _make(self) -> None:
        self.make_skill()

    def _move(self) -> None:
        folder = int(self.rng.choice(self.folders).partition(":")[2])
        self.update(self.rng.choice(self.skills()), {"changed": {"folderDBID": folder}})

    def _move_folder(self) -> None:
        folder = int(self.rng.choice(self.folders).partition(":")[2])
        self.update(self.rng.choice(self.folders[1:]), {"changed": {"folderDBID": folder}})

    def _member(self) -> None:
        group, person = self.rng.choice(self.groups), self.rng.choice(self.persons)
        self._toggle(group, {"type": "person", "DBID": int(person.partition(":")[2])})

    def _nest(self) -> None:
        outer, inner = self.rng.sample(self.groups, 2)
        self._toggle(outer, {"type": "accessgroup", "DBID": int(inner.partition(":")[2])})

    def _toggle(self, group: str, member: Object) -> None:
        there = [
            {"type": one["type"], "DBID": one["DBID"]}
            for one in self.world.objects[group].get("memberIDs", ())
        ]
        self.update(group, {"deleted" if member in there else "added": {"memberIDs": [member]}})

    def _group(self) -> None:
        group = self.rng.choice(self.groups)
        state = "disabled" if self.world.is_enabled(group) else "enabled"
        self.update(group, {"changed": {"groupInfo.state": state}})

    def _rename(self) -> None:
        self._names += 1
        self.update(self.rng.choice(self.skills()), {"changed": {"name": f"s{self._names}"}})

    def _delete(self) -> None:
        if len(self.skills()) > 3:
            self.delete(self.rng.choice(self.skills()))


class Watcher:
    """One person's session on one server: what it was told, applied."""

    def __init__(self, server: Server, user: str, person: str) -> None:
        self.server, self.user, self.person = server, user, person
        self.known: dict[str, int] = {}
        self.client = sign_in(server, user)
        self.listening = sign_in(server, user, protocol=3)
        self.begin()

    def begin(self) -> None:
        """Subscribes from a revision at which it has read everything."""
        self.pubsub = self.listening.pubsub()
        self.pubsub.execute_command("CFG.FROM", "NOW", "WITHSTATE", "SUBS", "2")
        self.pubsub.subscribe("cfg", "cfg.notice")
        self.is_synced = False
        self.resyncs = 0
        self.take_until(lambda: self.is_synced)

    def take_until(self, done: Any) -> None:
        """Applies what comes."""

        def look() -> bool:
            while message := self.pubsub.get_message(timeout=0.01):
                self._take(message)
            return bool(done())

        wait_until(look, SIGN_IN_SECONDS_MAX, f"{self.user} was told")

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] != "message":
            return
        told = json.loads(message["data"])
        key = f"{told.get('class')}:{told.get('DBID')}"
        match told["op"]:
            case "synced":
                self.is_synced = True
            case "resync":
                self.resyncs += 1
            case "state" | "create":
                assert key not in self.known or told["op"] == "state", (key, told)
                self.known[key] = told["object"]["revision"]
            case "update":
                assert self.known[key] == told["base"], (key, self.known[key], told)
                self.known[key] = told["revision"]
            case "delete":
                del self.known[key]

    def shown(self) -> dict[str, int]:
        """All objects by CFG.READ."""
        found = {}
        for name in CLASSES:
            cursor = "0"
            while True:
                _, cursor, objects = self.client.execute_command(
                    "CFG.READ", name, "CURSOR", cursor, "LIMIT", 7
                )
                for one in map(json.loads, objects):
                    found[f"{name}:{one['DBID']}"] = one["revision"]
                if str(cursor) == "0":
                    break
        return found

    def close(self) -> None:
        self.pubsub.close()
        self.client.close()
        self.listening.close()


def sign_in(server: Server, user: str, **options: Any) -> redis.Redis:
    """A client of an account of the test, when the server knows it."""
    options = {"socket_timeout": 20, "decode_responses": True} | options
    client = redis.Redis("127.0.0.1", server.port, username=user, password=SECRET, **options)

    def is_in() -> bool:
        try:
            return bool(client.execute_command("DBSIZE") is not None)
        except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
            return False

    wait_until(is_in, SIGN_IN_SECONDS_MAX, f"{user} signs in")
    return client
