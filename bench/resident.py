"""Tells how much memory a process has, has had at most, and whether it is at rest.

What counts is what the process has for itself. Pages of the store that it touches for the first
time are resident with it too (two MiB each, where they are huge ones), but they are there once for
all processes, whoever looks at them: they are told beside it.
"""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from bench.cpu import cpu_seconds

RESET_PEAK = "5"  # to clear_refs: VmHWM begins anew at what is resident
LOOK_SECONDS = 0.2
REST_SHARE = 0.05  # of a core: timers, and another client that asks now and then
REST_LOOKS = 3  # one after the other
REST_SECONDS_MAX = 300.0
GIVEN_BACK_SECONDS = 3.0


class Resident:
    """One process; figures in MiB beyond what it has when this is made."""

    def __init__(self, process: psutil.Process) -> None:
        self._folder = Path(f"/proc/{process.pid}")
        (self._folder / "clear_refs").write_text(RESET_PEAK)
        self._before = self._status()

    @property
    def peak(self) -> float:
        """The most it has had meanwhile: pages of the store stay, so their growth is known."""
        return self._grown("VmHWM", "VmRSS") - self.shared

    @property
    def now(self) -> float:
        """What it has now."""
        return self._grown("VmRSS", "VmRSS") - self.shared

    @property
    def shared(self) -> float:
        """By how much more of the store is resident with it."""
        return self._grown("RssShmem", "RssShmem")

    def given_back(self, limit: float) -> float:
        """What it has when it has come down to the limit, or after some seconds."""
        end = time.monotonic() + GIVEN_BACK_SECONDS
        while self.now > limit and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        return self.now

    def _grown(self, name: str, before: str) -> float:
        return (self._status()[name] - self._before[before]) / 1024

    def _status(self) -> dict[str, int]:
        lines = (self._folder / "status").read_text().splitlines()
        rows = (line.split() for line in lines if line.startswith(("VmHWM", "VmRSS", "RssShmem")))
        return {row[0].rstrip(":"): int(row[1]) for row in rows}


def at_rest(processes: list[psutil.Process]) -> None:
    """Waits until they have nothing to do any more: they sleep, and use no CPU to speak of.

    On a busy machine a process that waits for a core uses none either, but does not sleep.
    """
    end = time.monotonic() + REST_SECONDS_MAX
    used, looks = cpu_seconds(processes), 0
    while looks < REST_LOOKS:
        if time.monotonic() > end:
            raise TimeoutError(f"not at rest within {REST_SECONDS_MAX:.0f} s")
        time.sleep(LOOK_SECONDS)
        before, used = used, cpu_seconds(processes)
        sleep = all(one.status() == psutil.STATUS_SLEEPING for one in processes)
        looks = looks + 1 if sleep and used - before < REST_SHARE * LOOK_SECONDS else 0
