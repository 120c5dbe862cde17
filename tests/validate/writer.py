"""Writes transactions, each with a value of its own, finds out what became of them, reads them."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import replace

import orjson

from csp.client import Client, Credentials
from csp.client.problems import CannotConnect, ConnectionLost, NotApplied
from csp.errors import Busy, CspError, ExecAbort, Loading, MasterDown, ReadOnly, UnknownOutcome
from tests.neighbours.server import PASSWORD
from tests.validate.actor import CLASSES, OPTION, SECTION, Actor, Ground, now, shown, shown_object
from tests.validate.history import Read, Write

PAUSE_SECONDS = 0.02
OBJECTS_MAX = 4
CREATE_SHARE, DELETE_SHARE, READ_SHARE = 0.15, 0.12, 0.5
ELSEWHERE_SHARE = 0.4  # of what it reads
OWN_MAX = 30  # created ones that stay
TIMEOUT_SECONDS = 6.0
OUTCOME_SECONDS = 25.0
NOTHING_DONE = (NotApplied, CannotConnect, ConnectionLost, Busy, Loading, MasterDown, ReadOnly)
# What is said of one command of a transaction that is no fault: not now, or somebody was faster.
UNABLE = ("BUSY", "LOADING", "MASTERDOWN", "READONLY", "CONFLICT")
GUARDED_SHARE = 0.2

values = itertools.count(1)  # never used again in this process


class Writer(Actor):
    """Through one server, by csp.client, which settles what was lost."""

    def __init__(self, ground: Ground, server: str, name: str, seed: int) -> None:
        super().__init__(ground, name, seed)
        self.server = server
        self.client = self._client(server)
        self.elsewhere: dict[str, Client] = {}
        self.own: list[str] = []  # keys that it has created and may delete
        self.unknown: list[Write] = []
        self.newest = 0  # revision that it wrote or saw
        self.newest_here = 0  # at the server that it writes through

    def _client(self, server: str) -> Client:
        return Client(
            self.ground.address(server),
            Credentials(password=PASSWORD),
            timeout=TIMEOUT_SECONDS,
            reconnect_seconds=1.0,
            outcome_seconds=OUTCOME_SECONDS,
        )

    def act(self) -> None:
        keys = self.chance.sample(self.ground.keys, self.chance.randint(1, OBJECTS_MAX))
        if self.own and self.chance.random() < 0.3:
            keys.append(self.chance.choice(self.own))
        self.write(keys, self._guards(keys[:2]) if self.chance.random() < GUARDED_SHARE else {})
        self.is_begun.set()
        if self.chance.random() < READ_SHARE:
            self._read_back(self.chance.choice(keys))
        self.stopping.wait(PAUSE_SECONDS)

    def leave(self) -> None:
        for client in (self.client, *self.elsewhere.values()):
            client.close()

    # ------------------------------------------------------------------ writing

    def write(self, keys: list[str], guards: dict[str, int] | None = None) -> int:
        """One transaction over these objects; its revision, or 0 where none is known."""
        value, began = next(values), now()
        state, revision, made = "committed", 0, ""
        gone = ""
        if len(self.own) > OWN_MAX or (self.own and self.chance.random() < DELETE_SHARE):
            gone = self.own.pop(0)  # forgotten even where the write fails
        try:
            revision, made = self._send(
                value, [key for key in keys if key != gone], gone, guards or {}
            )
        except UnknownOutcome:
            state = "unknown"
        except NOTHING_DONE:
            state = "rejected"
            self.lost += 1
        except ExecAbort as refused:
            state = "rejected"
            if not refused.text.startswith(UNABLE):
                raise
        held = tuple((key, at) for key, at in (guards or {}).items() if key != gone)
        write = Write(self.name, self.server, began, now(), value, state, revision, held)
        self.note(write)
        if state == "unknown":
            self.unknown.append(write)
        if made:
            self.own.append(made)
        self.newest = max(self.newest, revision)
        self.newest_here = max(self.newest_here, revision)
        return revision

    def _guards(self, keys: list[str]) -> dict[str, int]:
        """The revisions of objects as they are read now, at a server that may be behind."""
        found: dict[str, int] = {}
        with suppress(CspError):
            for key in keys:
                read = shown(key, self.client.read_call("GET", key))
                found[key] = read.revision
        return found

    def _send(
        self, value: int, keys: list[str], gone: str, guards: dict[str, int]
    ) -> tuple[int, str]:
        """The revision, and the key of what was created."""
        sections = {SECTION: {OPTION: value}}
        created = class_name = None
        with self.client.transaction(write_id=f"validate-{value}") as changes:
            for key in keys:
                name, _, dbid = key.partition(":")
                delta = {"userProperties": {"changed": sections}}
                changes.update(name, int(dbid), delta, if_revision=guards.get(key, 0))
            if self.chance.random() < CREATE_SHARE:
                class_name = self.chance.choice(CLASSES)
                tenant = self.chance.choice((1, 101))
                made = new_object(class_name, f"v{value}", tenant) | {"userProperties": sections}
                created = changes.create(class_name, made)
            if gone:
                name, _, dbid = gone.partition(":")
                changes.delete(name, int(dbid))
        assert changes.revision is not None
        return changes.revision, f"{class_name}:{created.dbid}" if created is not None else ""

    def settle(self) -> None:
        """Asks once more what became of the writes of which nobody could say it."""
        for write in self.unknown:
            outcome = self.client.outcome(f"validate-{write.value}")
            if outcome.state == "unknown":
                self.ground.faults.append(f"{self.name}: the outcome of {write.value} is unknown")
                continue
            revision = outcome.revision or 0
            self.note(replace(write, ended=now(), state=outcome.state, revision=revision))

    # ------------------------------------------------------------------ reading

    def _read_back(self, key: str) -> None:
        """At the server that answered, or at another that has to have reached what was written."""
        with suppress(CspError):  # away just now, or not there yet: there is nothing to judge
            if self.chance.random() < ELSEWHERE_SHARE:
                server = self.other_than(self.server)
                if server not in self.elsewhere:
                    self.elsewhere[server] = self._client(server)
                self._read_at(server, self.elsewhere[server], key)
            elif self.newest > self.newest_here:  # what it saw elsewhere may not be here yet
                self._read_at(self.server, self.client, key)
                self.newest_here = self.newest
            else:
                began = now()
                found = shown(key, self.client.read_call("GET", key))
                self.note(Read(self.name, self.server, 0, began, now(), (found,)))
                self.newest = self.newest_here = max(self.newest, found.revision)

    def _read_at(self, server: str, client: Client, key: str) -> None:
        """Wants what it has seen and written, wherever that was."""
        name, _, dbid = key.partition(":")
        began = now()
        reply = client.read_call("CFG.READ", name, "FILTER", "dbid", dbid, "MINREV", self.newest)
        assert isinstance(reply, list)
        objects = tuple(shown_object(orjson.loads(one)) for one in reply[2])
        revision = int(reply[0])
        self.note(Read(self.name, server, 0, began, now(), objects, revision))
        self.newest = max(self.newest, revision)


def new_object(class_name: str, name: str, tenant: int) -> dict[str, object]:
    """What one of either class needs."""
    if class_name == "CfgSkill":
        return {"tenantDBID": tenant, "name": name}
    return {"tenantDBID": tenant, "userName": name, "employeeID": name, "isAgent": False}
