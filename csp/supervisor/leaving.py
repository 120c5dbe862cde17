"""Leads the clients away before a stop that can wait for it: the option `drain-timeout`.

1. It ends when no client is left, at the latest when its time is over; then the stop begins.
2. A second request to stop does not wait for it.
"""

from __future__ import annotations

import logging
import time

from csp.observe.events import log_event
from csp.process import drain
from csp.supervisor.segments import Segments

log = logging.getLogger("csp.supervisor")


class Leaving:
    """The drain before the stop of one server."""

    def __init__(self, segments: Segments, worker_count: int) -> None:
        self._segments = segments
        self._worker_count = worker_count
        self._until = 0.0  # monotonic seconds; 0: it has not begun
        self.begun_at = 0.0
        self.reason = ""

    @property
    def has_begun(self) -> bool:
        """Whether a stop waits for it."""
        return self._until > 0

    def begin(self, seconds: float, reason: str) -> bool:
        """Begins it; False where nobody has to be led away, and the stop may begin at once."""
        control = self._segments.control
        if seconds <= 0 or not control.serving or not self._segments.is_loaded:
            return False
        if drain.is_draining(control) and drain.left_seconds(control) == 0:
            return False  # they went in a drain of their own
        log_event(log, "51043", reason=reason, seconds=int(seconds))
        drain.begin(control, self._segments.wake_fds, seconds)
        self.begun_at = time.monotonic()
        self._until = self.begun_at + seconds
        self.reason = reason
        return True

    def is_over(self, now: float) -> bool:
        """Whether the stop may begin."""
        return self.has_begun and (now >= self._until or self._clients() == 0)

    def deadlines(self) -> list[float]:
        """Moments at which it is over at the latest."""
        return [self._until] if self.has_begun else []

    def _clients(self) -> int:
        slot_of = self._segments.control.slot_counters
        return sum(slot_of(slot)["connections"] for slot in range(self._worker_count))
