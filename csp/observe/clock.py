"""Tells the time of day as records, events and clients have it, and the clocks that never jump."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def wall_ms() -> int:
    """Milliseconds UTC; it may jump, so no duration is measured by it."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """Milliseconds since the boot, those of a suspended machine too; it never jumps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def monotonic_ms() -> int:
    """Milliseconds since some moment, without those of a suspended machine; it never jumps."""
    return time.monotonic_ns() // 1_000_000


def when(ms: int) -> str:
    """A moment in words, UTC, as events tell it."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
