"""Reads at one server after the other, by hand or by csp.client, and never sees the past again."""

from __future__ import annotations

import orjson

from csp.client import Client, Credentials
from csp.errors import CspError
from tests.neighbours.server import PASSWORD
from tests.validate.actor import (
    APPLICATION,
    CLASSES,
    Actor,
    Ground,
    now,
    shown,
    shown_object,
)
from tests.validate.history import Read, Shown
from tests.validate.hopper import Hopper
from tests.validate.wire import Wire

PAUSE_SECONDS = 0.01
HOP_SHARE = 0.02
PAGE_OBJECTS = 8
TIMEOUT_SECONDS = 6.0


class Reader(Hopper):
    """GET, MGET, EXEC and CFG.READ."""

    hop_share = HOP_SHARE

    def __init__(self, ground: Ground, name: str, seed: int) -> None:
        super().__init__(ground, name, seed)
        self.keys = list(ground.keys)

    def arrive(self) -> None:
        """A connection to a server, which has to have what this client saw elsewhere."""
        self.wire = Wire(self.ground.address(self.server))
        if self.chance.random() < 0.5:
            self.sync(self.wire)
        else:
            self._page(self.wire, "MINREV", self.seen)

    def turn(self, wire: Wire) -> None:
        self._read(wire)
        self.stopping.wait(PAUSE_SECONDS)

    # ------------------------------------------------------------------ commands

    def _read(self, wire: Wire) -> None:
        kind = self.chance.choice(("GET", "MGET", "MGET", "EXEC", "PAGE"))
        if kind == "PAGE":
            self._page(wire)
            return
        keys = self.chance.sample(self.keys, 1 if kind == "GET" else self.chance.randint(2, 5))
        began = now()
        if kind == "EXEC":
            first, *others = keys
            wire.send(("MULTI",), ("GET", first), ("MGET", *others), ("EXEC",))
            for _ in range(3):
                wire.reply()
            one, several = wire.reply()
            replies = [one, *several]
        else:
            reply = wire.call(kind, *(keys))
            replies = reply if kind == "MGET" else [reply]
        found = tuple(shown(key, reply) for key, reply in zip(keys, replies, strict=True))
        self._saw(began, found, 0)

    def _page(self, wire: Wire, *more: str | int) -> None:
        class_name = self.chance.choice(CLASSES)
        began = now()
        reply = wire.call("CFG.READ", class_name, "LIMIT", PAGE_OBJECTS, *more)
        self._saw(began, tuple(shown_object(orjson.loads(one)) for one in reply[2]), int(reply[0]))

    def _saw(self, began: float, found: tuple[Shown, ...], revision: int) -> None:
        self.note(Read(self.name, self.server, 0, began, now(), found, revision))
        self.seen = max(self.seen, revision, *(one.revision for one in found), 0)


class ClientReader(Actor):
    """By csp.client, which looks for a server that has what it saw, and stays while it can."""

    def __init__(self, ground: Ground, name: str, seed: int) -> None:
        super().__init__(ground, name, seed)
        servers = sorted(ground.fronts)
        self.chance.shuffle(servers)
        self.servers = {ground.address(server): server for server in servers}
        self.client = Client(
            [*self.servers],
            Credentials(password=PASSWORD),
            timeout=TIMEOUT_SECONDS,
            application=APPLICATION,
        )

    def act(self) -> None:
        class_name, _, dbid = self.chance.choice(self.ground.keys).partition(":")
        began, before = now(), self.client.address
        try:
            if self.chance.random() < 0.7:
                found = self.client.get(class_name, int(dbid))
                objects, revision = [found] if found is not None else [], 0
            else:
                page = self.client.page(class_name, limit=PAGE_OBJECTS)
                objects, revision = page.objects, page.revision
        except CspError:  # none of them just now
            self.lost += 1
            return
        self.is_begun.set()
        if self.client.address == before:  # else nobody knows which of them answered
            looked = tuple(shown_object(one) for one in objects)
            server = self.servers[before.host, before.port]
            self.note(Read(self.name, server, 0, began, now(), looked, revision))
        if self.chance.random() < HOP_SHARE:
            self.client.close()  # the next call connects again, elsewhere
            self.client._core._at = self.chance.randrange(len(self.servers))
        self.stopping.wait(PAUSE_SECONDS)

    def leave(self) -> None:
        self.client.close()
