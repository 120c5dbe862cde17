"""Tells the log who was turned away at a port, before he could say anything: of each worker alone.

1. The loop counts them by reason and keeps the last address of each; it is asked once a second.
2. For each reason there is a line at once, and then at most one a minute with how many there were
   since: a flood fills no log.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from csp.observe.events import log_event
from csp.worker.call import Lane

CHECK_MS = 1_000
QUIET_SECONDS = 60.0  # between two lines of one reason

log = logging.getLogger(__name__)

# Reasons as the loop names them, and the event of each.
EVENTS = {
    "address": "51270",
    "balancer": "51271",
    "header": "51272",
    "late": "51273",
    "crowd": "51274",
}


@dataclass
class _Told:
    """Those turned away for one reason since the last line."""

    since_s: float = -QUIET_SECONDS  # when that was
    count: int = 0
    port: int = 0
    address: str = ""


class Strangers:
    """Who was turned away at the ports of one worker."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._told = {reason: _Told() for reason in EVENTS}

    def start(self) -> None:
        """Looks from now on."""
        self._lane.loop.call_later(CHECK_MS, self._check)

    def _check(self) -> None:
        self.look(time.monotonic())
        self._lane.loop.call_later(CHECK_MS, self._check)

    def look(self, now_s: float) -> None:
        """Takes what the loop has counted, and tells what has not been told for a minute."""
        for reason, count, port, address in self._lane.loop.take_turned_away():
            told = self._told[reason]
            told.count += count
            told.port, told.address = port, address
        for reason, told in self._told.items():
            if told.count and now_s - told.since_s >= QUIET_SECONDS:
                self._tell(reason, told)
                told.since_s, told.count = now_s, 0

    def _tell(self, reason: str, told: _Told) -> None:
        info = self._lane.info
        fields: dict[str, object] = {"address": told.address, "count": told.count}
        if reason == "crowd":
            fields["most"] = info.limit("max-connections-per-address", 0)
        log_event(log, EVENTS[reason], port=info.port_of(told.port).id, **fields)
