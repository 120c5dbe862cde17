"""Calls back when this server has published a revision, or when the wait for it is over.

1. A waiter is called once: with True when the revision is published, with False at its deadline.
2. The loop is asked to report publications only while somebody waits.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from csp.worker.ports import Loop

Then = Callable[[bool], None]


class Publications:
    """All who wait in this worker, nearest revision first."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: list[tuple[int, int]] = []  # revision, number of the waiter
        self._waiters: dict[int, Then] = {}
        self._number = itertools.count()
        self._is_told = False

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def _revision(self) -> int:
        """What this turn sees; what was published during it is told in the next one."""
        return 0 if self._loop.reader is None else self._loop.reader.revision

    def is_there(self, revision: int) -> bool:
        """Whether it need not be waited for."""
        return self._revision >= revision

    def wait(self, revision: int, timeout_ms: int | None, then: Then) -> None:
        """Calls `then` now if the revision is there already."""
        if self.is_there(revision):
            then(True)
            return
        number = next(self._number)
        self._waiters[number] = then
        heapq.heappush(self._waiting, (revision, number))
        self._want(True)
        if timeout_ms is not None:
            self._loop.call_later(timeout_ms, lambda: self._give_up(number))

    def published(self, revision: int) -> None:
        """Calls those back whose revision is there."""
        while self._waiting and self._waiting[0][0] <= revision:
            _, number = heapq.heappop(self._waiting)
            self._end(number, True)
        if not self._waiters:
            self._waiting.clear()
            self._want(False)

    def _want(self, wanted: bool) -> None:
        if wanted != self._is_told:
            self._is_told = wanted
            self._loop.want_published(wanted)

    def _give_up(self, number: int) -> None:
        self._end(number, False)
        self.published(0)

    def _end(self, number: int, reached: bool) -> None:
        then = self._waiters.pop(number, None)
        if then is not None:
            then(reached)
