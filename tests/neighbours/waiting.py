"""Waits for a condition with a limit, instead of sleeping for a guess."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
POLL_SECONDS = 0.01


def wait_until(condition: Callable[[], Result], within: float = 10.0, what: str = "") -> Result:
    """Returns the first true value of the condition; AssertionError after `within` seconds."""
    end = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {within} s: {what or condition}")
        time.sleep(POLL_SECONDS)
