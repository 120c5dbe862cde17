"""Decides whether a process hangs. Pure: time, processor time and state are told to it.

1. Silence alone proves nothing: a process that uses the processor works, one that is ready to run
   but gets no processor is starved.
2. A supervisor that was itself held up (a paused machine) has learnt nothing: all waits begin anew.
3. Waiting for a disk is given longer than other silence.
4. Who worked and then sleeps is asleep since its processor time last grew, not since the question.
"""

from __future__ import annotations

from dataclasses import dataclass

SILENCE_SECONDS_MAX = 3.0  # without an answer and without processor time, asleep or stopped
DISK_SECONDS_MAX = 30.0  # the same, in uninterruptible sleep
PAUSE_SECONDS = 2.0  # the supervisor turns at least once a second; a gap like this is not its own


@dataclass
class Pulse:
    """What is known of one process's progress since it was last seen to live."""

    silent_since: float | None = None  # when the oldest unanswered question was asked
    cpu_seen: float = 0.0
    progress_at: float = 0.0  # when its processor time last grew, or the wait began

    def asked(self, now: float, cpu_seconds: float) -> None:
        """A question was sent."""
        if self.silent_since is None:
            self._begin(now, cpu_seconds)

    def answered(self) -> None:
        """It answered."""
        self.silent_since = None

    def restart_wait(self, now: float, cpu_seconds: float) -> None:
        """Begins the wait anew, after a pause of the machine."""
        if self.silent_since is not None:
            self._begin(now, cpu_seconds)

    def why_hung(
        self, spin_seconds_max: float, now: float, cpu_seconds: float, state: str
    ) -> str | None:
        """The reason to call it hung, or None. `state` is the letter of /proc/PID/stat."""
        if self.silent_since is None:
            return None
        if cpu_seconds > self.cpu_seen:
            self.cpu_seen, self.progress_at = cpu_seconds, now
        silence, idle = now - self.silent_since, now - self.progress_at
        if self.progress_at > self.silent_since and silence >= spin_seconds_max:
            return f"busy for {silence:.0f} s without an answer"
        if state in "Rt":  # starved of processor, or held by a debugger
            return None
        limit = DISK_SECONDS_MAX if state == "D" else SILENCE_SECONDS_MAX
        if idle >= limit:
            word = "stopped" if state == "T" else "asleep"
            return f"{word}, no progress for {idle:.0f} s"
        return None

    def _begin(self, now: float, cpu_seconds: float) -> None:
        self.silent_since = self.progress_at = now
        self.cpu_seen = cpu_seconds


class PauseWatch:
    """Notices that the supervisor itself did not run."""

    def __init__(self, now: float) -> None:
        self._last = now

    def was_paused(self, now: float) -> bool:
        """Whether more time passed since the last call than a running supervisor lets pass."""
        gap, self._last = now - self._last, now
        return gap > PAUSE_SECONDS
