"""Waits for descriptors: what a loop wants to hear of now is stated anew in every turn."""

from __future__ import annotations

import functools
import heapq
import itertools
import selectors
from collections.abc import Callable
from typing import NamedTuple

from csp.observe.clock import monotonic_ms

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Descriptor(NamedTuple):
    """A descriptor that a loop watches, and who is called when it is ready."""

    fd: int
    events: int  # READ | WRITE
    callback: Callable[[], None]


class Poller:
    """One loop's poll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._known: dict[int, Descriptor] = {}
        self._wanted: list[Descriptor] = []

    def wait(self, wanted: list[Descriptor], seconds: float) -> None:
        """Waits until one of them is ready, or for so long; calls the callbacks of those that are.

        A descriptor that an earlier callback of this turn closed must not be called for: whoever
        closes one bears a late call.
        """
        if wanted != self._wanted:  # the same objects as a rule, which costs next to nothing
            self._register(wanted)
        for key, _ in self._selector.select(seconds):
            key.data()

    def _register(self, wanted: list[Descriptor]) -> None:
        self._wanted = wanted
        now = {one.fd: one for one in wanted}
        for fd, known in list(self._known.items()):
            if now.get(fd) != known:
                self._selector.unregister(fd)
                del self._known[fd]
        for fd, one in now.items():
            if fd not in self._known:
                self._selector.register(fd, one.events, one.callback)
                self._known[fd] = one

    def close(self) -> None:
        """Ends the poll; the descriptors stay open."""
        self._selector.close()


class Watched:
    """Descriptors and moments that somebody else has watched by a loop of turns: an asker's loop.

    The loop takes its descriptors in each turn, and tells it after the wait that time has passed.
    """

    def __init__(self, now_ms: Callable[[], int] = monotonic_ms) -> None:
        self._now_ms = now_ms
        self._descriptors: dict[int, Descriptor] = {}
        self._moments: list[tuple[int, int, Callable[[], None]]] = []  # a heap
        self._numbers = itertools.count()

    def add_fd(self, fd: int, callback: Callable[[], None], *, write: bool = False) -> None:
        """Watches a descriptor from the next turn on."""
        # Equal to no other: the number may be that of one that was closed in this very turn, which
        # the poll has let go of.
        own = functools.partial(callback)
        self._descriptors[fd] = Descriptor(fd, WRITE if write else READ, own)

    def remove_fd(self, fd: int) -> None:
        """Lets go of one."""
        self._descriptors.pop(fd, None)

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> object:
        """Calls back once, no sooner than that."""
        moment = (self._now_ms() + delay_ms, next(self._numbers), callback)
        heapq.heappush(self._moments, moment)
        return moment

    def descriptors(self) -> list[Descriptor]:
        """What is to be watched now."""
        return list(self._descriptors.values())

    def patience(self, seconds: float) -> float:
        """How long a turn may wait, `seconds` at most."""
        if not self._moments:
            return seconds
        return min(seconds, max(0, self._moments[0][0] - self._now_ms()) / 1000)

    def take_due(self) -> None:
        """Calls back whose moment has come."""
        now_ms = self._now_ms()
        while self._moments and self._moments[0][0] <= now_ms:
            heapq.heappop(self._moments)[2]()
