"""Decides whether a process hangs. Pure: time, processor time and state are told to it.

1. Silence alone proves nothing: a process that uses the processor works, one that is ready to run
   but gets no processor is starved.
2. A supervisor that was itself held up (a paused machine) has learnt nothing: all waits begin anew.
3. Waiting for a disk is given longer than other silence.
"""

from __future__ import annotations

from dataclasses import dataclass

SILENCE_SECONDS_MAX = 3.0  # without an answer and without processor time, asleep or stopped
DISK_SECONDS_MAX = 30.0  # the same, in uninterruptible sleep
SPIN_SECONDS_MAX = {"worker": 60.0, "auth": 60.0, "writer": 600.0}  # busy but deaf; loads are long
PAUSE_SECONDS = 2.0  # the supervisor turns at least once a second; a gap like this is not its own


@dataclass
class Pulse:
    """What is known of one process's progress since it was last seen to live."""

    silent_since: float | None = None  # when the oldest unanswered question was asked
    cpu_at_question: float = 0.0

    def asked(self, now: float, cpu_seconds: float) -> None:
        """A question was sent."""
        if self.silent_since is None:
            self.silent_since = now
            self.cpu_at_question = cpu_seconds

    def answered(self) -> None:
        """It answered."""
        self.silent_since = None

    def restart_wait(self, now: float, cpu_seconds: float) -> None:
        """Begins the wait anew, after a pause of the machine."""
        if self.silent_since is not None:
            self.silent_since = now
            self.cpu_at_question = cpu_seconds

    def why_hung(self, role: str, now: float, cpu_seconds: float, state: str) -> str | None:
        """The reason to call it hung, or None. `state` is the letter of /proc/PID/stat."""
        if self.silent_since is None:
            return None
        silence = now - self.silent_since
        is_busy = cpu_seconds > self.cpu_at_question
        if is_busy:
            if silence >= SPIN_SECONDS_MAX[role]:
                return f"busy for {silence:.0f} s without an answer"
            return None
        if state in "Rt":  # starved of processor, or held by a debugger
            return None
        limit = DISK_SECONDS_MAX if state == "D" else SILENCE_SECONDS_MAX
        if silence >= limit:
            word = "stopped" if state == "T" else "asleep"
            return f"{word}, no progress for {silence:.0f} s"
        return None


class PauseWatch:
    """Notices that the supervisor itself did not run."""

    def __init__(self, now: float) -> None:
        self._last = now

    def was_paused(self, now: float) -> bool:
        """Whether more time passed since the last call than a running supervisor lets pass."""
        gap, self._last = now - self._last, now
        return gap > PAUSE_SECONDS
