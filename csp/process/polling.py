"""Waits for descriptors: what a loop wants to hear of now is stated anew in every turn."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from typing import NamedTuple

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
