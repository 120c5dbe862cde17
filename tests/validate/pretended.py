"""Plays a master, two proxies and their clients as they ought to be: makes a valid history.

It has what the validators look at: transactions of several parts, lost connections within one,
hops between servers, bookmarks, reads beside pushes, writes whose outcome nobody was told.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from tests.validate.history import (
    NOW,
    Assured,
    Bookmark,
    Committed,
    Dropped,
    Finished,
    Hit,
    Part,
    Read,
    Record,
    Settled,
    Shown,
    State,
    Subscribed,
    Synced,
    Told,
    Tracked,
    Write,
)
from tests.validate.truth import matches

BASE = 10  # the revision at which the play begins
SERVERS = ("master", "first", "second")
CHANNELS: tuple[tuple[str, ...], ...] = (
    ("cfg",),
    ("cfg:CfgSkill",),
    ("cfg:CfgPerson", "cfg:CfgSkill:101"),
    ("cfg@101",),
    ("cfg:Cfg*",),
)


@dataclass
class Listener:
    """A subscriber and its present connection; its `place` is behind a whole transaction."""

    who: str
    channels: tuple[str, ...]
    server: str
    start: int
    connection: int = 1
    place: int = 0
    cut: list[Told] = field(default_factory=list)  # what was told of the next transaction


@dataclass
class Holder:
    """A cache and its present connection; it was told what changed up to its `place`."""

    who: str
    mode: str
    server: str = "master"
    connection: int = 0
    place: int = 0
    seen: int = 0
    held: dict[str, Shown] = field(default_factory=dict)


class Play:
    """Seeded: the same number gives the same history."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.records: list[Record] = []
        self.log: list[Committed] = []
        self.at = dict.fromkeys(SERVERS, BASE)  # what each has published
        self.now = 0.0
        self.values = count(1)
        self.dbids = count(101)
        self.there: dict[str, int] = {}  # key -> tenant
        self.tenants: dict[str, int] = {}
        self.shown: dict[str, list[tuple[int, int, bool]]] = {}  # key -> revision, value, is there
        self.readers = {"reader one": "first", "reader two": "master"}
        self.seen = dict.fromkeys(self.readers, 0)
        self.arrivals = 0
        self.listeners: list[Listener] = []
        self.holders = [Holder("holder one", "default"), Holder("holder two", "redirect")]

    def run(self, steps: int) -> list[Record]:
        """The whole history."""
        self._commit([("create", f"{name}:{next(self.dbids)}", t)
                      for name in ("CfgSkill", "CfgPerson") for t in (1, 101, 1)], 0)  # fmt: skip
        self.at = dict.fromkeys(SERVERS, BASE + 1)
        for number, channels in enumerate(CHANNELS):
            listener = Listener(f"listener {number}", channels, "master", 0)
            self.listeners.append(listener)
            self._connect(listener, self.random.choice(SERVERS), NOW)
        for holder in self.holders:
            self._hold(holder)
        deeds: tuple[Callable[[], None], ...]
        deeds = (self._write, self._catch_up, self._read, self._deliver, self._lose, self._bookmark)
        deeds = (*deeds, self._arrive)
        for _ in range(steps):
            self.random.choices((*deeds, self._look_up), (5, 4, 4, 6, 1, 1, 2, 12))[0]()
        self.at = dict.fromkeys(SERVERS, self.newest)
        for listener in self.listeners:
            while listener.place < self.newest:
                self._tell(listener)
            self._mark(listener)
            self.records.append(Finished(listener.who, self._tick(), self.newest))
        for holder in self.holders:
            self._take_back(holder)
            self.records.append(Finished(holder.who, self._tick(), self.newest))
            for _ in range(4):
                self._answer(holder)
        return [*self.records, *self.log]

    # ------------------------------------------------------------------ servers

    @property
    def newest(self) -> int:
        return self.log[-1].revision if self.log else BASE

    def _tick(self) -> float:
        self.now += 1.0
        return self.now

    def _commit(self, parts: Sequence[tuple[str, str, int]], value: int) -> int:
        revision = self.newest + 1
        self.log.append(Committed(revision, value, tuple(Part(*part) for part in parts)))
        for op, key, tenant in parts:
            self.shown.setdefault(key, []).append((revision, value, op != "delete"))
            self.tenants[key] = tenant
            if op == "delete":
                self.there.pop(key)
            else:
                self.there[key] = tenant
        return revision

    def _change(self, value: int) -> int:
        keys = self.random.sample(sorted(self.there), min(3, len(self.there)))
        parts = [("update", key, self.there[key]) for key in keys]
        if self.random.random() < 0.2:
            name = self.random.choice(("CfgSkill", "CfgPerson"))
            parts.append(("create", f"{name}:{next(self.dbids)}", self.random.choice((1, 101))))
        if len(self.there) > 5 and self.random.random() < 0.2:
            _, key, tenant = parts.pop(0)
            parts.append(("delete", key, tenant))
        return self._commit(parts, value)

    def _write(self) -> None:
        who = self.random.choice((*self.readers, "writer"))
        server = self.readers.get(who, "master")
        began, value = self._tick(), next(self.values)
        state = self.random.choices(("committed", "rejected", "unknown"), (8, 1, 1))[0]
        is_done = state == "committed" or (state == "unknown" and self.random.random() < 0.5)
        revision = self._change(value) if is_done else 0
        self.at["master"] = self.newest
        if state == "committed":
            self.at[server] = self.newest
        told = revision if state == "committed" else 0
        guards = self._guards(revision) if told and self.random.random() < 0.5 else ()
        self.records.append(Write(who, server, began, self._tick(), value, state, told, guards))
        if who in self.seen:
            self.seen[who] = max(self.seen[who], told)

    def _guards(self, revision: int) -> tuple[tuple[str, int], ...]:
        """As if its author had read, before it wrote, what it then changed."""
        changed = [part.key for part in self.log[-1].parts if part.op == "update"]
        before = {key: [one for one, _, _ in self.shown[key] if one < revision] for key in changed}
        return tuple((key, found[-1]) for key, found in before.items())

    def _catch_up(self) -> None:
        server = self.random.choice(SERVERS)
        self.at[server] = min(self.newest, self.at[server] + self.random.randint(1, 4))

    # ------------------------------------------------------------------ readers

    def _read(self) -> None:
        who = self.random.choice(sorted(self.readers))
        others = [server for server in SERVERS if self.at[server] >= self.seen[who]]
        if self.random.random() < 0.3:
            self.readers[who] = self.random.choice(others)
        server = self.readers[who]
        began = self._tick()
        shown = self._shown_at(self.at[server])
        states = self.at[server] if self.random.random() < 0.3 else 0
        self.records.append(Read(who, server, 0, began, self._tick(), shown, states))
        self.seen[who] = max(self.seen[who], states, *(one.revision for one in shown))

    def _arrive(self) -> None:
        """Somebody comes by a token to who has reached it, or asks for what the master has."""
        self.arrivals += 1
        by = self.random.choice(("token", "sync"))
        server = self.random.choice(SERVERS)
        if by == "sync":
            self.at[server] = self.newest
        place = self.newest if by == "sync" else self.random.randint(BASE, self.at[server])
        where = (f"comer {self.arrivals}", server, self.arrivals)
        self.records.append(Assured(*where, self._tick(), self._tick(), place, by))
        for _ in range(2):
            shown = self._shown_at(self.at[server])
            self.records.append(Read(*where, self._tick(), self._tick(), shown))

    def _shown_at(self, revision: int) -> tuple[Shown, ...]:
        keys = self.random.sample(sorted(self.shown), self.random.randint(1, 4))
        return tuple(self._shown(key, revision) for key in keys)

    def _shown(self, key: str, revision: int) -> Shown:
        versions = [one for one in self.shown[key] if one[0] <= revision]
        newest, value, is_there = versions[-1] if versions else (0, 0, False)
        return Shown(key, newest, value) if is_there else Shown(key, 0, 0)

    # ------------------------------------------------------------------ caches

    def _hold(self, holder: Holder) -> None:
        """It begins, empty, at a server that has what it saw."""
        servers = [server for server in SERVERS if self.at[server] >= holder.seen]
        holder.server = self.random.choice(servers)
        holder.connection, holder.held = holder.connection + 1, {}
        holder.place = self.at[holder.server]
        where = (holder.who, holder.server, holder.connection)
        self.records.append(Tracked(*where, self._tick(), holder.mode))

    def _look_up(self) -> None:
        holder = self.random.choice(self.holders)
        if self.random.random() < 0.03:
            self._hold(holder)
        elif self.random.random() < 0.05:
            where = (holder.who, holder.server, holder.connection)
            self.records.append(Dropped(*where, self._tick(), ()))
            holder.held = {}
        elif holder.mode != "redirect" or self.random.random() < 0.4:
            self._take_back(holder)
        self._answer(holder)

    def _take_back(self, holder: Holder) -> None:
        """It is told what of its keys the server has changed since."""
        now_at = self.at[holder.server]
        after = self.log[max(0, holder.place - BASE) :]
        changed = {part.key for one in after if one.revision <= now_at for part in one.parts}
        where = (holder.who, holder.server, holder.connection)
        keys = tuple(sorted(changed & {*holder.held}))
        if keys:
            self.records.append(Dropped(*where, self._tick(), keys))
            for key in keys:
                del holder.held[key]
        holder.place = now_at
        if holder.mode == "redirect":
            self.records.append(Settled(*where, self._tick(), now_at))

    def _answer(self, holder: Holder) -> None:
        """From its memory, else from what the server has, of which it is told first in step."""
        key = self.random.choice(sorted(self.shown)[:5])
        where = (holder.who, holder.server, holder.connection)
        held = holder.held.get(key)
        if held is not None:
            self.records.append(Hit(*where, self._tick(), key, held.revision, held.value))
            return
        if holder.mode != "redirect":
            self._take_back(holder)
        shown = self._shown(key, self.at[holder.server])
        self.records.append(Read(*where, self._tick(), self._tick(), (shown,)))
        holder.held[key] = shown
        holder.seen = max(holder.seen, shown.revision)

    # ------------------------------------------------------------------ subscribers

    def _connect(self, listener: Listener, server: str, after: int) -> None:
        listener.server, listener.cut = server, []
        listener.start = listener.place = self.at[server] if after == NOW else after
        self.records.append(
            Subscribed(
                listener.who, server, listener.connection, self._tick(), listener.channels,
                after, listener.start, mark_of(listener.start),
            )
        )  # fmt: skip
        if self.random.random() < 0.4:
            self._show_state(listener)

    def _show_state(self, listener: Listener) -> None:
        """What the server has, class by class."""
        synced = self.at[listener.server]
        where = (listener.who, listener.server, listener.connection)
        for key in sorted(self.shown):
            versions = [one for one in self.shown[key] if one[0] <= synced]
            if not versions or not versions[-1][2]:
                continue
            revision, value, _ = versions[-1]
            part = Part("state", key, self.tenants[key])
            for channel in listener.channels:
                if matches(channel, part):
                    self.records.append(State(*where, self._tick(), channel, key, revision, value))
        self.records.append(Synced(*where, self._tick(), synced))

    def _deliver(self) -> None:
        listener = self.random.choice(self.listeners)
        while listener.place < self.at[listener.server]:
            self._tell(listener)
        if self.random.random() < 0.5:
            shown = self._shown_at(self.at[listener.server])
            where = (listener.who, listener.server, listener.connection)
            self.records.append(Read(*where, self._tick(), self._tick(), shown))

    def _tell(self, listener: Listener) -> None:
        for told in self._messages(listener):
            self.records.append(told)
        listener.place += 1

    def _messages(self, listener: Listener) -> list[Told]:
        """What the next transaction tells it."""
        one = self.log[listener.place - BASE]
        found = []
        for channel in listener.channels:
            parts = [part for part in one.parts if matches(channel, part)]
            for number, part in enumerate(parts, 1):
                value = 0 if part.op == "delete" else one.value
                where = (listener.who, listener.server, listener.connection, self._tick(), channel)
                more = number < len(parts)
                found.append(Told(*where, part.op, part.key, one.revision, value, more))
        return found

    def _lose(self) -> None:
        """The connection is lost, maybe within a transaction; it goes on elsewhere."""
        listener = self.random.choice(self.listeners)
        if listener.place < self.at[listener.server]:
            messages = self._messages(listener)
            self.records += messages[: self.random.randrange(len(messages) + 1)]
        listener.connection += 1
        others = [server for server in SERVERS if self.at[server] >= listener.place]
        self._connect(listener, self.random.choice(others), listener.place)

    def _bookmark(self) -> None:
        listener = self.random.choice(self.listeners)
        self._mark(listener)

    def _mark(self, listener: Listener) -> None:
        where = (listener.who, listener.server, listener.connection, self._tick())
        self.records.append(Bookmark(*where, listener.place, mark_of(listener.place)))


def mark_of(revision: int) -> str:
    return f"{revision * 0x9E3779B97F4A7C15 % (1 << 64):016x}"


def pretend(seed: int, steps: int = 460) -> list[Record]:
    """A valid history."""
    return Play(seed).run(steps)
