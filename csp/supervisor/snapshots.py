"""Has a proxy's snapshot written: every few minutes beside the service, and once more at a stop.

1. A child that lives for one attempt writes it, at most one at a time; the supervisor waits for it
   at the stop alone, and there no longer than STOP_SECONDS_MAX.
2. Segments are removed only when the snapshot of what they hold is whole; else they stay for the
   next start on this host.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time
from pathlib import Path

from csp._fastpath import Control
from csp.exits import EXIT_NOT_FOUND
from csp.model.keys import TABLE_DIGEST
from csp.observe.events import log_event
from csp.observe.log import LogSettings
from csp.snapshot.file import NAME, UNFINISHED
from csp.snapshot.keep import SHARE_OF_A_CORE, keep_snapshot
from csp.store import segment
from csp.store.alarms import ALARM_SNAPSHOT, end_alarm, raise_alarm
from csp.supervisor.child import death_reason
from csp.supervisor.fork import fork_helper
from csp.supervisor.signals import STOPPING, SignalQueue, name_of

STOP_SECONDS_MAX = 30.0  # that a stop waits for its snapshot
RESCUE_SECONDS_MAX = 120.0  # that a start waits for one of segments it can't serve itself
FIRST_SECONDS = 30.0  # after the load; later ones have the option's interval
RETRY_SECONDS = 60.0  # after one that failed
FAILURES_MAX = 1  # so many may follow one another without an alarm
POLL_SECONDS = 0.1

log = logging.getLogger("csp.supervisor")


class Snapshots:
    """The snapshots of one run of a proxy."""

    def __init__(
        self, instance: str, folder: Path, app_name: str, log_settings: LogSettings
    ) -> None:
        self.path = folder / NAME
        self.pid = 0
        self._instance = instance
        self._app_name = app_name
        self._log_settings = log_settings
        self._failures = 0
        self._interval_seconds = RETRY_SECONDS
        self._due_at: float | None = None  # None: nothing was loaded yet

    # ---- beside the service

    def tick(self, now: float, *, interval_seconds: float) -> None:
        """Takes the end of an attempt, and begins the next one when its time has come.

        To be called while something is loaded.
        """
        self._interval_seconds = interval_seconds
        self._reap()
        if self.pid:
            return
        if self._due_at is None:
            self._due_at = now + min(FIRST_SECONDS, interval_seconds)
        if now >= self._due_at:
            self._start(SHARE_OF_A_CORE, always=False)

    def kill(self) -> None:
        """Ends an attempt that is under way: the snapshot before stays."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
            self._failures += 1
            with contextlib.suppress(OSError):  # the next one removes it, if it can be
                self.path.with_name(self.path.name + UNFINISHED).unlink()

    # ---- at the stop, and at a start

    def write_last(self, signals: SignalQueue, *, deaf_until: float) -> bool:
        """Writes what is left in the segments, at full speed; whether it is whole.

        A signal after `deaf_until` (monotonic) ends the waiting.
        """
        self.kill()
        self._start(1.0, always=True)
        end_at = time.monotonic() + STOP_SECONDS_MAX
        why = f"not within {STOP_SECONDS_MAX:.0f} s"
        while self.pid and time.monotonic() < end_at:
            select.select([signals.fd], [], [], POLL_SECONDS)
            wishes = [one for one in signals.take() if one in STOPPING]
            if wishes and time.monotonic() >= deaf_until:
                why = f"{name_of(wishes[0])} came again"
                break
            self._reap()
        if not self.pid and not self._failures:
            return True
        if not self.pid:
            why = "it failed"
        self.kill()
        log_event(log, "51363", path=self.path, reason=why)
        return False

    def rescue(self, table: int) -> bool:
        """Writes a snapshot of segments whose keys another table has built; whether it is whole."""
        self._start(1.0, always=True, table=table)
        end_at = time.monotonic() + RESCUE_SECONDS_MAX
        while self.pid and time.monotonic() < end_at:
            time.sleep(POLL_SECONDS)
            self._reap()
        self.kill()
        return not self._failures

    # ---- one attempt

    def _start(self, share: float, *, always: bool, table: int = TABLE_DIGEST) -> None:
        is_repeated = self._failures >= FAILURES_MAX
        self._failures = self._failures if share < 1 else 0

        def attempt() -> int:
            why = keep_snapshot(
                self._instance, self.path, self._app_name, share=share, always=always, table=table
            )
            return self._tell(why, is_repeated=is_repeated)

        title = f"csp {self._app_name}: snapshot"
        self.pid = fork_helper(title, "snapshot", attempt, self._log_settings)

    def _tell(self, why: str, *, is_repeated: bool) -> int:
        """What the child says of its attempt: its row of alarms is the supervisor's."""
        flags = Control(segment.open_control(self._instance))
        if not why:
            end_alarm(flags, ALARM_SNAPSHOT, path=self.path)
            return 0
        if is_repeated:
            raise_alarm(flags, ALARM_SNAPSHOT, path=self.path, reason=why)
        else:
            log_event(log, "51364", path=self.path, reason=why)
        return EXIT_NOT_FOUND

    def _reap(self) -> None:
        if self.pid:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._end(status)

    def _end(self, status: int) -> None:
        self.pid = 0
        exit_code = os.waitstatus_to_exitcode(status)
        self._failures = 0 if exit_code == 0 else self._failures + 1
        if exit_code not in (0, EXIT_NOT_FOUND):
            log_event(log, "51364", path=self.path, reason=death_reason(status))
        wait_seconds = self._interval_seconds if exit_code == 0 else RETRY_SECONDS
        self._due_at = time.monotonic() + wait_seconds
