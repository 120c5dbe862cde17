"""Looks whether a server that is about to stop has left anything behind, and what its log says.

1. Only a server whose clients have all gone is judged: a test may stop one with clients on it.
2. Then no worker has a buffer, a subscription or a request under way, nor keeps a revision pinned.
3. A traceback, an assertion or a sanitizer's report in the log is a fault of every test.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from csp._fastpath import Control
from csp.store import segment
from tests.neighbours.waiting import wait_until

INSTANCE = re.compile(r"csp \S+ starts as .*, instance ([\w.-]+)")
REPORTS = (
    "Traceback (most recent call last)",
    "AssertionError",
    "ERROR: AddressSanitizer",
    "WARNING: ThreadSanitizer",
    ": runtime error: ",
    "Fatal Python error",
)
GAUGES = ("buffers", "subscriptions", "jobs")
LEAVE_SECONDS = 0.1  # for the server to notice that clients went
CALM_SECONDS = 5.0


def check_left_behind(log: Path, workers: int) -> None:
    """AssertionError with the gauges that are not back at zero."""
    found = INSTANCE.findall(log.read_text(errors="replace"))
    if not found:
        return
    try:
        fd = segment.open_control(found[-1])
    except segment.SegmentMissing:
        return
    control = Control(fd)
    os.close(fd)

    def clients() -> int:
        return sum(control.slot_counters(slot)["connections"] for slot in range(workers))

    try:
        wait_until(lambda: clients() == 0, LEAVE_SECONDS)
    except AssertionError:
        return

    def left() -> dict[str, int]:
        slots = [control.slot_counters(slot) for slot in range(workers)]
        sums = {name: sum(slot[name] for slot in slots) for name in GAUGES}
        sums["pins"] = sum(control.slot(slot)["seen"] > 0 for slot in range(workers))
        return {name: value for name, value in sums.items() if value}

    try:
        wait_until(lambda: not left() or clients(), CALM_SECONDS)
    except AssertionError:
        raise AssertionError(f"left behind by clients that are gone: {left()}") from None


def check_log(log: Path) -> None:
    """AssertionError with the lines around the first report in the log."""
    text = log.read_text(errors="replace") if log.exists() else ""
    for word in REPORTS:
        at = text.find(word)
        if at >= 0:
            raise AssertionError(f"the log has {word!r}:\n{text[max(0, at - 1500) : at + 3000]}")
