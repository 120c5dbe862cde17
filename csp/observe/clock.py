"""Tells the time of day as records, events and clients have it."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def wall_ms() -> int:
    """Milliseconds UTC; it may jump, so no duration is measured by it."""
    return time.time_ns() // 1_000_000


def when(ms: int) -> str:
    """A moment in words, UTC, as events tell it."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
