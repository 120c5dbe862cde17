"""Raises the alarm "clients refused" while connections are turned away, of all workers together.

1. The worker of slot 0 alone looks, once a second, at what all workers have counted.
2. It is taken back when nobody was turned away for a minute: a client tries again sooner.
"""

from __future__ import annotations

from csp.store.alarms import ALARM_CLIENTS, end_alarm, raise_alarm
from csp.worker.call import Lane

CHECK_MS = 1_000
QUIET_CHECKS = 60


class TurnedAway:
    """Who was refused a connection, as one worker tells for all."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._seen: list[tuple[int, int]] | None = None  # of each worker, at the last look
        self._quiet = 0

    def start(self) -> None:
        """Looks from now on: what an earlier run of the workers counted is no news."""
        if self._lane.info.slot == 0:
            self.look()
            self._lane.loop.call_later(CHECK_MS, self._check)

    def _check(self) -> None:
        self.look()
        self._lane.loop.call_later(CHECK_MS, self._check)

    def look(self) -> None:
        """Compares what was counted with the last look."""
        control, info = self._lane.control, self._lane.info
        rows = [control.slot_counters(slot) for slot in range(info.worker_count)]
        now = [(row["rejected"], row["starved"]) for row in rows]
        before, self._seen = self._seen, now
        if before is None:
            return
        # A worker that was replaced begins at nought.
        rejected = sum(max(0, new[0] - old[0]) for new, old in zip(now, before, strict=True))
        starved = sum(max(0, new[1] - old[1]) for new, old in zip(now, before, strict=True))
        if not rejected and not starved:
            self._quiet += 1
            if self._quiet >= QUIET_CHECKS:
                seconds = QUIET_CHECKS * CHECK_MS // 1000
                end_alarm(control, ALARM_CLIENTS, seconds=seconds)
            return
        self._quiet = 0
        reason = f"{info.clients_max} may be connected at once"
        if starved:
            reason = "there are no descriptors for more (the limit of open files)"
        raise_alarm(control, ALARM_CLIENTS, reason=reason)
