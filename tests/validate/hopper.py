"""What bare clients that go from server to server share: how they begin, lose and leave one."""

from __future__ import annotations

import itertools

from tests.validate.actor import Actor, Ground
from tests.validate.wire import Lost, Refused, Wire

RETRY_SECONDS = 0.1
SYNC_MS = 3_000
# What a server may say that is no answer: it has nothing to show just now.
UNABLE = ("STALE", "BUSY", "LOADING", "MASTERDOWN")

numbers = itertools.count(1)  # of connections


class Hopper(Actor):
    """One connection at a time; `arrive` makes it, `turn` uses it."""

    hop_share = 0.0  # of turns, behind which it goes elsewhere

    def __init__(self, ground: Ground, name: str, seed: int) -> None:
        super().__init__(ground, name, seed)
        self.server = self.chance.choice(sorted(ground.fronts))
        self.wire: Wire | None = None
        self.connection = 0
        self.seen = 0  # the newest revision that it was shown
        self.hops = 0

    def act(self) -> None:
        try:
            if self.wire is None:
                self.connection = next(numbers)
                self.arrive()
            assert self.wire is not None
            self.turn(self.wire)
            self.is_begun.set()
        except Lost:
            self.lost += 1
            self._hop()
            self.stopping.wait(RETRY_SECONDS)
        except Refused as refused:
            if refused.word not in UNABLE:
                raise
            self._hop()
            self.stopping.wait(RETRY_SECONDS)
        if self.chance.random() < self.hop_share:
            self._hop()

    def arrive(self) -> None:
        """Connects, and sets `wire`."""
        raise AssertionError("each kind of client has its own")

    def turn(self, wire: Wire) -> None:
        """Does something on it."""
        raise AssertionError("each kind of client has its own")

    def sync(self, wire: Wire) -> None:
        """Waits until the server has what this client saw elsewhere."""
        wire.call("CFG.SYNC", self.seen, "TIMEOUT", SYNC_MS)

    def drop(self) -> None:
        """Forgets the connection, which is closed."""

    def leave(self) -> None:
        if self.wire is not None:
            self.wire.close()

    def _hop(self) -> None:
        self.leave()
        self.wire = None
        self.drop()
        self.server = self.other_than(self.server)
        self.hops += 1
