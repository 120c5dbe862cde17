"""Raises this process's limits as far as it may, and refuses a start that they leave no room for.

1. What is missing is said in one line with both figures and what to do, before anything is made.
2. Soft limits are raised to the hard ones; the children inherit them.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Final

RESERVED_FDS: Final = 100  # of one process: segments, channels, pipes, logs, the database
CLIENTS_MIN: Final = 20  # fewer are no service: a proxy alone has nine connections to its master
UNLIMITED_FDS: Final = 1_048_576  # taken where the kernel names no limit
FDS_A_WORKER: Final = 8  # of the supervisor: listeners, pipes, wake-up, progress
SEGMENTS_MAPPED: Final = 3  # at once: two generations, and the older one as a reader sees it
OWN_ADDRESS_BYTES: Final = 2 << 30  # of one process beside them: code, heaps, threads, tables


class LimitsRefused(Exception):
    """A limit of this machine leaves no room for a server; the text says which and what to do."""


@dataclass(frozen=True)
class Limits:
    """What the kernel grants; None where it names no limit."""

    open_files: int | None
    address_bytes: int | None
    file_bytes: int | None


def raise_limits(worker_count: int, reserve_bytes: int) -> int:
    """Takes what may be had; how many clients may connect. Raises LimitsRefused."""
    found = Limits(
        _raised(resource.RLIMIT_NOFILE),
        _raised(resource.RLIMIT_AS),
        _raised(resource.RLIMIT_FSIZE),
    )
    return client_count_of(found, worker_count, reserve_bytes)


def client_count_of(limits: Limits, worker_count: int, reserve_bytes: int) -> int:
    """How many clients fit; raises LimitsRefused where a server does not fit at all."""
    files = limits.open_files or UNLIMITED_FDS
    needed = RESERVED_FDS + max(CLIENTS_MIN, worker_count * FDS_A_WORKER)
    if files < needed:
        raise LimitsRefused(
            f"{files} open files are allowed, {needed} are needed with {worker_count} workers and "
            f"{CLIENTS_MIN} clients: raise the hard limit (ulimit -n; LimitNOFILE= of the unit)"
        )
    address = SEGMENTS_MAPPED * reserve_bytes + OWN_ADDRESS_BYTES
    if limits.address_bytes is not None and limits.address_bytes < address:
        raise LimitsRefused(
            f"{_mib(limits.address_bytes)} of address space are allowed, {_mib(address)} are "
            f"needed with --reserve {_mib(reserve_bytes)}: raise the hard limit (ulimit -v; "
            "LimitAS= of the unit), or give a smaller --reserve"
        )
    if limits.file_bytes is not None and limits.file_bytes < reserve_bytes:
        raise LimitsRefused(
            f"files may have {_mib(limits.file_bytes)}, the store's segment has the size of "
            f"--reserve, {_mib(reserve_bytes)}: raise the hard limit (ulimit -f; LimitFSIZE= of "
            "the unit), or give a smaller --reserve"
        )
    return files - RESERVED_FDS


def _raised(kind: int) -> int | None:
    _, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY:
        if kind == resource.RLIMIT_NOFILE:  # the kernel has a most of its own
            resource.setrlimit(kind, (UNLIMITED_FDS, hard))
        else:
            resource.setrlimit(kind, (hard, hard))
        return None
    resource.setrlimit(kind, (hard, hard))
    return hard


def _mib(size: int) -> str:
    return f"{size >> 20} MiB"
