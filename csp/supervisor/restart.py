"""Decides when a dead process is started again. Pure: no clock, no I/O.

A process that was ready and then died restarts at once, however often: each of its lives was of
use. Only deaths before readiness back off, for they may come from a lasting cause.
"""

from __future__ import annotations

DELAY_MS_FIRST = 100
DELAY_MS_MAX = 5_000


class RestartPolicy:
    """The memory of one process's failed starts."""

    def __init__(self) -> None:
        self.failures = 0  # deaths before readiness, since it last was ready

    def on_ready(self) -> None:
        """It serves: earlier failures are forgotten."""
        self.failures = 0

    def on_death(self, *, was_ready: bool) -> int:
        """Milliseconds to wait before the next start."""
        if was_ready:
            return 0
        delay_ms = min(DELAY_MS_FIRST << min(self.failures, 16), DELAY_MS_MAX)
        self.failures += 1
        return delay_ms
