"""Tells of directories that can't be reached, and of external sign-in that can't work.

1. Each change of one directory is an event; an alarm is raised while there is one, and its text
   names those of the moment it was raised.
2. A directory is well again with its next answer; one that nobody asks any more is forgotten.
3. A successor of this process finds an alarm that is raised: the first answer of a directory, with
   none known to be away, ends it.
"""

from __future__ import annotations

import logging
from typing import Final

from csp.external.backend import Kind, Verdict
from csp.observe.events import log_event
from csp.store.alarms import ALARM_DIRECTORY, ALARM_EXTERNAL, Flags, end_alarm, raise_alarm
from csp.tables.events import Alarm

FORGOTTEN_MS: Final = 3_600_000  # without a question
TOLD_MS: Final = 60_000  # between two events of one directory
DIRECTORIES_MAX: Final = 1_000

log = logging.getLogger("csp.auth")


class Trouble:
    """The directories that have one kind of trouble."""

    def __init__(self, flags: Flags, alarm: Alarm, event: str, over: str = "") -> None:
        self._flags = flags
        self._alarm = alarm
        self._event = event
        self._over = over
        self._since: dict[str, tuple[int, int]] = {}  # when asked last, when told last

    def add(self, directory: str, reason: str, now_ms: int) -> None:
        """A question came to this."""
        if directory not in self._since and len(self._since) >= DIRECTORIES_MAX:
            return
        told_ms = self._since.get(directory, (0, -TOLD_MS))[1]
        if now_ms - told_ms >= TOLD_MS:
            told_ms = now_ms
            log_event(log, self._event, directory=directory, reason=reason)
        self._since[directory] = (now_ms, told_ms)
        raise_alarm(self._flags, self._alarm, directory=directory, reason=reason)

    def remove(self, directory: str) -> None:
        """A question was answered."""
        if self._since.pop(directory, None) is not None and self._over:
            log_event(log, self._over, directory=directory)
        self._end()

    def tick(self, now_ms: int) -> None:
        """Forgets what nobody has asked for long."""
        old = [one for one, (at, _) in self._since.items() if now_ms - at >= FORGOTTEN_MS]
        for directory in old:
            del self._since[directory]
        if old:
            self._end()

    def _end(self) -> None:
        if not self._since:
            end_alarm(self._flags, self._alarm)


class DirectoryAlarms:
    """Both kinds."""

    def __init__(self, flags: Flags) -> None:
        self._away = Trouble(flags, ALARM_DIRECTORY, "51256", "51257")
        self._unusable = Trouble(flags, ALARM_EXTERNAL, "51258")

    def take(self, directory: str, verdict: Verdict, now_ms: int) -> None:
        """What a question to a directory came to."""
        if verdict.kind is Kind.AWAY:
            self._away.add(directory, verdict.words, now_ms)
        elif verdict.kind is Kind.UNUSABLE:
            self._unusable.add(directory, verdict.words, now_ms)
        else:
            self._away.remove(directory)
            self._unusable.remove(directory)

    def tick(self, now_ms: int) -> None:
        """Called several times a second."""
        self._away.tick(now_ms)
        self._unusable.tick(now_ms)
