"""Tells the time of day as records, events and clients have it."""

from __future__ import annotations

import time


def wall_ms() -> int:
    """Milliseconds UTC; it may jump, so no duration is measured by it."""
    return time.time_ns() // 1_000_000
