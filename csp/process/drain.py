"""Begins and ends a drain, in which clients are led away from a server that goes on.

1. It is two words of the control segment, and a ring: workers do what it takes
   (csp/_fastpath/loop/doors.pxi). Whoever begins one says so nowhere else.
2. Over is not ended: a server whose drain is over stays out until it is ended, or the server stops.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol

from csp.observe.clock import steady_ms

SECONDS_MAX = 3_600  # of a drain
SECONDS_DEFAULT = 30


class Draining(Protocol):
    """Where it is shown: the control segment (`csp._fastpath.Control`)."""

    def drain(self) -> tuple[int, int]: ...
    def set_drain(self, begin: int, end: int) -> None: ...
    def doors_changed(self) -> None: ...


def begin(control: Draining, wake_fds: Iterable[int], seconds: float) -> None:
    """Begins one, or one anew; `seconds` from now it is over."""
    now_ms = steady_ms()
    control.set_drain(now_ms, now_ms + max(1, int(seconds * 1000)))
    ring(control, wake_fds)


def end(control: Draining, wake_fds: Iterable[int]) -> None:
    """Clients are welcome again."""
    control.set_drain(0, 0)
    ring(control, wake_fds)


def is_draining(control: Draining) -> bool:
    """Whether one was begun, over or not."""
    return control.drain()[0] != 0


def left_seconds(control: Draining) -> float:
    """Until it is over; 0 where it is, or there is none."""
    return max(0, control.drain()[1] - steady_ms()) / 1000


def ring(control: Draining, wake_fds: Iterable[int]) -> None:
    """Has all workers look at their ports and at the drain, asleep as they may be."""
    control.doors_changed()
    for fd in wake_fds:
        os.eventfd_write(fd, 1)
