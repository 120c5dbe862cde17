"""Keeps a background work to a share of one processor: it sleeps as it must between its steps."""

from __future__ import annotations

import time
from collections.abc import Callable

SLEEP_SECONDS_MAX = 1.0


class Pace:
    """A share of a processor, over all of a process's life, which has this work alone."""

    def __init__(
        self,
        share: float,
        *,
        cpu: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`share` from above 0 to 1; with 1 it never sleeps."""
        self._share = share
        self._cpu, self._clock, self._sleep = cpu, clock, sleep
        self._began = clock()

    def rest(self) -> None:
        """Between two steps: sleeps until the share is kept again."""
        if self._share >= 1:
            return
        used = self._cpu()  # from the process's first instruction on
        while True:
            ahead = used / self._share - (self._clock() - self._began)
            if ahead <= 0:
                return
            self._sleep(min(ahead, SLEEP_SECONDS_MAX))
