"""Raises the alarm of processes that are not there: they die before they serve, or never start.

1. A restart that succeeds within MISSING_SECONDS is no alarm, however often it happens.
2. Without a writer nothing is heard of the origin: the link is shown as down.
3. A load may take long: a process that has not failed yet gets LOAD_SECONDS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from csp.process.roles import WRITER
from csp.store.alarms import ALARM_PROCESS, Flags, end_alarm, raise_alarm
from csp.supervisor.child import Child, ChildState

MISSING_SECONDS = 10.0
LOAD_SECONDS = 600.0


class Missing:
    """Who is not ready, and since when."""

    def __init__(self, flags: Flags, writer_missing: Callable[[], None] = lambda: None) -> None:
        self._flags = flags
        self._writer_missing = writer_missing
        self._since: dict[str, float] = {}

    def tick(self, now: float, children: Sequence[Child], waits: str) -> None:
        """Raises or takes back; `waits` says what all that have not begun wait for, if anything."""
        away = [child for child in children if child.is_missing]
        self._since = {child.name: self._since.get(child.name, now) for child in away}
        late = [child for child in away if now - self._since[child.name] >= _patience(child)]
        if late:
            if any(child.role is WRITER for child in late):
                self._writer_missing()
            longest = int(now - min(self._since[child.name] for child in late))
            raise_alarm(
                self._flags,
                ALARM_PROCESS,
                roles=", ".join(child.name for child in late),
                seconds=longest,
                reason=_reason(late[0], waits),
            )
        elif not away:
            end_alarm(self._flags, ALARM_PROCESS)


def _patience(child: Child) -> float:
    has_trouble = child.policy.failures > 0 or child.state is ChildState.WAITING
    return MISSING_SECONDS if has_trouble else LOAD_SECONDS


def _reason(child: Child, waits: str) -> str:
    if child.policy.failures:
        return f"{child.name} died {child.policy.failures} times, last by {child.last_death}"
    if child.waits_for_lock:
        return f"{child.name} waits for the lock of its predecessor"
    if child.state is ChildState.WAITING:
        return waits or f"{child.name} waits for its start"
    return f"{child.name} does not come up"
