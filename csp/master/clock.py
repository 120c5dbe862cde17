"""Gives changes their time, and things kept their age, though the clock of the machine jumps.

1. A step of the wall clock of more than STEP_MS against the clock that counts on since the boot is
   followed only when it has lasted for BELIEVED_AFTER_MS: a moment's wrong time reaches no change.
2. Ages never grow faster than that other clock: what is kept for a day stays for a day of this run,
   whatever the wall clock says.
3. Where the last change's time is ahead of the clock, nothing is old.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from csp.observe.clock import steady_ms, wall_ms

STEP_MS: Final = 60_000
BELIEVED_AFTER_MS: Final = 60_000


class MasterClock:
    """The time of one run of a writer."""

    def __init__(
        self, wall: Callable[[], int] = wall_ms, steady: Callable[[], int] = steady_ms
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._apart_ms = wall() - steady()  # of the two clocks, as it is believed
        self._least_apart_ms = self._apart_ms
        self._stepped_at_ms = 0  # when a step was first seen; 0: there is none
        self._stepped_apart_ms = 0

    def now_ms(self) -> int:
        """UTC, for changes."""
        steady = self._steady()
        apart_ms = self._wall() - steady
        if abs(apart_ms - self._apart_ms) <= STEP_MS:
            self._apart_ms = apart_ms
            self._stepped_at_ms = 0
        elif not self._stepped_at_ms or abs(apart_ms - self._stepped_apart_ms) > STEP_MS:
            self._stepped_at_ms, self._stepped_apart_ms = steady, apart_ms
        elif steady - self._stepped_at_ms >= BELIEVED_AFTER_MS:
            self._apart_ms = apart_ms
            self._stepped_at_ms = 0
        self._least_apart_ms = min(self._least_apart_ms, self._apart_ms)
        return steady + self._apart_ms

    def age_now_ms(self, last_ms: int) -> int | None:
        """UTC for ages, given the last change's time; None where nothing can be old."""
        now_ms = self.now_ms()
        if last_ms > now_ms + STEP_MS:
            return None
        return self._steady() + self._least_apart_ms

    def ahead_ms(self, last_ms: int) -> int:
        """How far the wall clock is, or was when the last change was made, in the future."""
        now_ms = self.now_ms()
        return max(last_ms - now_ms, self._wall() - now_ms)
