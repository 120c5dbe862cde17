"""Keeps what it read for as long as it is not told otherwise: a cache by CLIENT TRACKING.

By RESP3 invalidations come on the connection that reads; by REDIRECT on another one, in RESP2,
maybe of another worker, so that a reply may come behind the invalidation of what it shows.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from csp.resp import ErrorReply, Push
from tests.validate.actor import CLASSES, Ground, now, shown
from tests.validate.history import Dropped, Hit, Read, Settled, Shown, Tracked
from tests.validate.hopper import Hopper
from tests.validate.wire import Lost, Wire

PAUSE_SECONDS = 0.02
HOP_SHARE = 0.002
KEYS = 6  # so few that most are looked for in the cache
PING_SECONDS = 1.0
SILENT_SECONDS = 8.0
# An invalidation that another worker had no time to take is told again a second and a half later.
ROUNDS = 2  # of PINGs on the connection that is told, until all that it owes is there
CHANNEL = b"__redis__:invalidate"
MODES = {
    "default": ("ON",),
    "optin": ("ON", "OPTIN"),
    "bcast": ("ON", "BCAST", *(word for name in CLASSES for word in ("PREFIX", f"{name}:"))),
    "redirect": ("ON", "REDIRECT"),
}


class Tracker(Hopper):
    """Looks some objects up again and again, in its memory where they are."""

    hop_share = HOP_SHARE

    def __init__(self, ground: Ground, mode: str, name: str, seed: int) -> None:
        super().__init__(ground, name, seed)
        self.mode = mode
        self.keys = self.chance.sample(ground.keys, KEYS)
        self.cache: dict[str, Shown] = {}
        self.oldest = 0  # of the revisions in the cache, once it is full
        self.ear: Wire | None = None  # the connection that is told, where it is another one
        self.hits = 0
        self._awaited: set[str] = set()  # asked for, and not taken back meanwhile
        self._pinged = 0.0
        self._newest = 0  # revision that was read on this connection
        self._rounds: deque[tuple[float, int]] = deque()  # PINGs: when, and what was newest then
        self._levels: deque[int] = deque()  # the same of those that were answered last

    # ------------------------------------------------------------------ beginning and end

    def arrive(self) -> None:
        wire = self.wire = Wire(self.ground.address(self.server))
        self.sync(wire)
        words: list[str | int] = ["CLIENT", "TRACKING", *MODES[self.mode]]
        if self.mode == "redirect":
            self.ear = Wire(self.ground.address(self.server), protocol=2)
            words.append(self.ear.call("CLIENT", "ID"))
            self.ear.call("SUBSCRIBE", CHANNEL)
        wire.call(*words)
        self._pinged = now()
        self.note(Tracked(self.name, self.server, self.connection, now(), self.mode))

    def drop(self) -> None:
        if self.ear is not None:
            self.ear.close()
        self.ear = None
        self.cache, self.oldest, self._newest = {}, 0, 0
        self._awaited.clear()
        self._rounds.clear()
        self._levels.clear()

    def leave(self) -> None:
        super().leave()
        if self.ear is not None:
            self.ear.close()

    # ------------------------------------------------------------------ going on

    def turn(self, wire: Wire) -> None:
        self._hear(wire)
        key = self.chance.choice(self.keys)
        held = self.cache.get(key)
        if held is not None:
            self.hits += 1
            where = (self.name, self.server, self.connection)
            self.note(Hit(*where, now(), held.key, held.revision, held.value))
        else:
            missing = [one for one in self.keys if one != key and one not in self.cache]
            self._read(wire, [key, *missing[: self.chance.randrange(3)]])
        if now() - self._pinged > PING_SECONDS:
            self._ping(wire)
        full = len(self.cache) == len(self.keys)
        self.oldest = min(one.revision for one in self.cache.values()) if full else 0
        self.stopping.wait(PAUSE_SECONDS)

    def _read(self, wire: Wire, keys: list[str]) -> None:
        self._awaited |= {*keys}
        began = now()
        if self.mode == "optin":
            wire.send(("CLIENT", "CACHING", "YES"), ("MGET", *keys))
            wire.reply()
        else:
            wire.send(("MGET", *keys))
        reply = wire.reply()
        self._hear_early(wire)
        if any(isinstance(one, ErrorReply) for one in reply):
            return  # BUSY, for one of them
        found = tuple(shown(key, one) for key, one in zip(keys, reply, strict=True))
        self.note(Read(self.name, self.server, self.connection, began, now(), found))
        self._newest = max(self._newest, *(one.revision for one in found))
        self.seen = max(self.seen, self._newest)
        if self.ear is not None:
            self._hear_ear(self.ear)
        for one in found:
            if self.ear is None or one.key in self._awaited:
                self.cache[one.key] = one
        self._awaited -= {*keys}

    # ------------------------------------------------------------------ being told

    def _hear(self, wire: Wire) -> None:
        """Takes what is there."""
        self._hear_early(wire)
        while (value := wire.next(0)) is not None:
            assert isinstance(value, Push), f"a reply to nothing: {value!r}"
            self._told(value)
        if self.ear is not None:
            self._hear_ear(self.ear)

    def _hear_early(self, wire: Wire) -> None:
        """What came before the reply that was awaited."""
        early, wire.early = wire.early, []
        for push in early:
            self._told(push)

    def _told(self, push: Push) -> None:
        if push[0] == b"tracking-redir-broken":
            raise Lost("its target has gone")
        assert push[0] == b"invalidate", push
        self._take_back(push[1])

    def _hear_ear(self, ear: Wire) -> None:
        while (value := ear.next(0)) is not None:
            assert isinstance(value, list), value
            if value[0] == b"pong":
                self._answered()
            else:
                assert value[:2] == [b"message", CHANNEL], value
                self._take_back(value[2])
        if self._rounds and now() - self._rounds[0][0] > SILENT_SECONDS:
            raise Lost("silent")

    def _take_back(self, told: Any) -> None:
        keys = tuple(key.decode() for key in told) if told is not None else ()
        self.note(Dropped(self.name, self.server, self.connection, now(), keys))
        for key in keys or self.keys:
            self.cache.pop(key, None)
            self._awaited.discard(key)

    def _ping(self, wire: Wire) -> None:
        """A connection on which nothing comes may be half-open, and a cache stale for good."""
        self._pinged = now()
        if self.ear is not None:
            self._rounds.append((now(), self._newest))
            self.ear.send(("PING",))
        wire.call("PING")
        self._hear_early(wire)

    def _answered(self) -> None:
        """So many rounds after a read, all that it tells of was to have come."""
        self._levels.append(self._rounds.popleft()[1])
        if len(self._levels) > ROUNDS:
            where = (self.name, self.server, self.connection)
            self.note(Settled(*where, now(), self._levels.popleft()))
