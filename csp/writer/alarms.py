"""Raises the alarms of the store's memory, full or held back by somebody, and takes them back.

1. A change that is refused for want of room raises it; what shrinks the store still goes on.
2. It is taken back by itself, when something was freed and nothing was refused for a while: no
   flapping at the limit, nor while a proxy tries a change again that is larger than the room.
   The room there was stands in the alarm's row: a successor takes nothing back that is as it was.
3. Before it is full it is told to be nearly so; and the log, that it reaches not as far back as it
   should because changes come too fast.
4. Memory is held back where a reader's announcement stands longer than its kind may; it is told
   once, with the holder that began it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from csp.observe.clock import wall_ms
from csp.store.alarms import (
    ALARM_FULL,
    ALARM_HELD,
    ALARM_LOG_SMALL,
    ALARM_NEARLY_FULL,
    Flags,
    end_alarm,
    figure_of,
    is_raised,
    raise_alarm,
)
from csp.store.control import PIN_SLACK_MS, pin_ms_max
from csp.store.host import Levels, Pin

ROOM_BYTES_MORE = 1024 * 1024  # than when it was refused: room for a thousand ordinary changes
NEARLY_SHARE = 0.10  # of room that is left, of all: time to plan
ENOUGH_SHARE = 0.15
LEVEL_CHECKS = 10  # the levels are looked at once a second
QUIET_CHECKS = 15  # without a refusal; a proxy tries again more often


class Gauge(Protocol):
    """What is asked of the store."""

    @property
    def refused_full(self) -> int:
        """How many changes were refused for want of room."""

    @property
    def refused_room_bytes(self) -> int:
        """The room there was when a change was last refused."""

    def room_bytes(self) -> int:
        """What a growing change may still take."""

    def held_words(self) -> str:
        """Who holds memory back, to stand behind a text."""


class Pins(Protocol):
    """What is asked of the store about its readers."""

    def pins(self) -> Sequence[Pin]:
        """The announcements that hold memory back, the oldest first."""

    def pending_bytes(self) -> int:
        """How much it is."""


class StoreAlarm:
    """The alarm "store full" of one server."""

    def __init__(self, flags: Flags, gauge: Gauge) -> None:
        self._flags = flags
        self._gauge = gauge
        self._refused_seen = gauge.refused_full
        self._quiet_checks = 0

    def check(self) -> None:
        """Raises or takes back; called ten times a second."""
        refused = self._gauge.refused_full
        if refused != self._refused_seen:
            self._refused_seen = refused
            self._quiet_checks = 0
            raise_alarm(
                self._flags,
                ALARM_FULL,
                "",
                self._gauge.refused_room_bytes,
                room_bytes=self._gauge.room_bytes(),
                held=self._gauge.held_words(),
            )
            return
        self._quiet_checks += 1
        if self._quiet_checks >= QUIET_CHECKS and is_raised(self._flags, ALARM_FULL):
            room_bytes = self._gauge.room_bytes()
            # Not than at the last check: all may have been freed since the refusal.
            if room_bytes >= figure_of(self._flags, ALARM_FULL) + ROOM_BYTES_MORE:
                end_alarm(self._flags, ALARM_FULL, room_bytes=room_bytes)


class Levelled(Protocol):
    """What is asked of the store about its levels."""

    def levels(self) -> Levels | None:
        """How full it is."""


class LevelAlarms:
    """The alarms "store nearly full" and "change log too small" of one server."""

    def __init__(self, flags: Flags, store: Levelled, now_ms: Callable[[], int] = wall_ms) -> None:
        self._flags = flags
        self._store = store
        self._now_ms = now_ms
        self._trimmed = 0
        self._checks = 0

    def check(self) -> None:
        """Raises or takes back; called ten times a second."""
        self._checks += 1
        if self._checks % LEVEL_CHECKS:
            return
        levels = self._store.levels()
        if levels is not None:
            self._check_room(levels)
            self._check_log(levels)

    def _check_room(self, levels: Levels) -> None:
        share = levels.room_bytes / max(1, levels.whole_bytes)
        told = {"room_bytes": levels.room_bytes, "bytes": levels.whole_bytes}
        if share < NEARLY_SHARE:
            raise_alarm(self._flags, ALARM_NEARLY_FULL, **told)
        elif share >= ENOUGH_SHARE:
            end_alarm(self._flags, ALARM_NEARLY_FULL, **told)

    def _check_log(self, levels: Levels) -> None:
        trimmed, self._trimmed = levels.log_trimmed - self._trimmed, levels.log_trimmed
        reach_ms = self._now_ms() - levels.log_oldest_ms
        if reach_ms >= levels.log_age_ms or not levels.log_oldest_ms:
            end_alarm(self._flags, ALARM_LOG_SMALL)
        elif trimmed > 0:  # young entries left it
            raise_alarm(self._flags, ALARM_LOG_SMALL, reach_ms=reach_ms, age_ms=levels.log_age_ms)


class HeldAlarm:
    """The alarm "memory held back" of one server."""

    def __init__(self, flags: Flags, store: Pins) -> None:
        self._flags = flags
        self._store = store

    def check(self) -> None:
        """Raises or takes back; called ten times a second."""
        late = [
            pin for pin in self._store.pins() if pin.held_ms > pin_ms_max(pin.slot) + PIN_SLACK_MS
        ]
        if not late:
            end_alarm(self._flags, ALARM_HELD)
            return
        pin, waiting = late[0], self._store.pending_bytes()
        raise_alarm(self._flags, ALARM_HELD, holder=pin.holder, held_ms=pin.held_ms, bytes=waiting)
