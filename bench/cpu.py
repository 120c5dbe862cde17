"""Reads how much CPU time processes have used."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time of all the processes together.

    The kernel's scheduler counts nanoseconds; psutil's figures come in steps of 10 ms and
    serve where the kernel was built without that count.
    """
    return sum(map(_one, processes))


def _one(process: psutil.Process) -> float:
    threads = list(Path(f"/proc/{process.pid}/task").glob("*/schedstat"))
    if threads:
        return sum(int(path.read_text().split()[0]) for path in threads) / 1e9
    times = process.cpu_times()
    return times.user + times.system
