"""What a feed is doing, and what it takes from outside."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from csp.observe.clock import monotonic_ms


class Phase(Enum):
    """What the feed is doing."""

    AWAY = "no link; the next attempt has its time"
    SIGNING_IN = "the session link signs in and registers the application"
    GREETING = "the feed was asked for and has not greeted"
    LOADING = "records arrive, or the changes up to the first whole revision"
    FOLLOWING = "changes are applied as they come"


@dataclass(frozen=True)
class Clocks:
    """What the feed takes from outside, so that tests can replace it."""

    monotonic_ms: Callable[[], int] = monotonic_ms
    random: Callable[[], float] = random.random
