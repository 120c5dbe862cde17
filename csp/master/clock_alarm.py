"""Tells that the machine's clock has jumped, or that the last change has a time of the future."""

from __future__ import annotations

from csp.master.clock import STEP_MS, MasterClock
from csp.process.origin import StoreForOrigin
from csp.store.alarms import ALARM_CLOCK


def tell_clock(host: StoreForOrigin, clock: MasterClock, time_ms: int) -> None:
    """Raises the alarm or takes it back; `time_ms` is the last change's."""
    ahead_ms = clock.ahead_ms(time_ms)
    if ahead_ms <= STEP_MS:
        host.end_alarm(ALARM_CLOCK)
    elif ahead_ms > time_ms - clock.now_ms():
        reason = "it has just stepped; until it is believed, changes keep to the time before"
        host.raise_alarm(ALARM_CLOCK, ahead_ms=ahead_ms, reason=reason)
    else:
        reason = "the last change has a time of the future; the next ones get the same"
        host.raise_alarm(ALARM_CLOCK, ahead_ms=ahead_ms, reason=reason)
