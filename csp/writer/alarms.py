"""Raises the alarms of the store's memory, full or held back by somebody, and takes them back.

1. A change that is refused for want of room raises it; what shrinks the store still goes on.
2. It is taken back by itself, when something was freed and nothing was refused for a while: no
   flapping at the limit, nor while a proxy tries a change again that is larger than the room.
3. Memory is held back where a reader's announcement stands longer than its kind may; it is told
   once, with the holder that began it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from csp.observe.events import log_event
from csp.store.control import ALARM_FULL, ALARM_HELD, PIN_SLACK_MS, pin_ms_max
from csp.store.host import Pin

ROOM_BYTES_MORE = 1024 * 1024  # than when it was refused: room for a thousand ordinary changes
QUIET_CHECKS = 15  # without a refusal; a proxy tries again more often

log = logging.getLogger("csp.writer")


class Flags(Protocol):
    """Where alarms are shown: the control segment."""

    alarms: int


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
        # A predecessor may have died with the alarm raised.
        self.is_raised = bool(flags.alarms & ALARM_FULL)
        self._quiet_checks = 0

    def check(self) -> None:
        """Raises or takes back; called ten times a second."""
        refused = self._gauge.refused_full
        if refused != self._refused_seen:
            self._refused_seen = refused
            self._quiet_checks = 0
            if not self.is_raised:
                self.is_raised = True
                self._flags.alarms |= ALARM_FULL
                log_event(
                    log,
                    "51310",
                    room_bytes=self._gauge.room_bytes(),
                    held=self._gauge.held_words(),
                )
            return
        self._quiet_checks += 1
        is_quiet = self.is_raised and self._quiet_checks >= QUIET_CHECKS
        if is_quiet and self._has_more_room():
            self.is_raised = False
            self._flags.alarms &= ~ALARM_FULL
            log_event(log, "51311", room_bytes=self._gauge.room_bytes())

    def _has_more_room(self) -> bool:
        # Not than at the last check: all may have been freed since the refusal.
        return self._gauge.room_bytes() >= self._gauge.refused_room_bytes + ROOM_BYTES_MORE


class HeldAlarm:
    """The alarm "memory held back" of one server."""

    def __init__(self, flags: Flags, store: Pins) -> None:
        self._flags = flags
        self._store = store
        self.is_raised = bool(flags.alarms & ALARM_HELD)

    def check(self) -> None:
        """Raises or takes back; called ten times a second."""
        late = [
            pin for pin in self._store.pins() if pin.held_ms > pin_ms_max(pin.slot) + PIN_SLACK_MS
        ]
        if bool(late) == self.is_raised:
            return
        self.is_raised = bool(late)
        if late:
            self._flags.alarms |= ALARM_HELD
            pin = late[0]
            waiting = self._store.pending_bytes()
            log_event(log, "51322", holder=pin.holder, held_ms=pin.held_ms, bytes=waiting)
        else:
            self._flags.alarms &= ~ALARM_HELD
            log_event(log, "51323")
