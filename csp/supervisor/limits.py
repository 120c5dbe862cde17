"""Raises the limit of open files and derives from it how many clients fit."""

from __future__ import annotations

import resource

RESERVED_FDS = 100  # segments, channels, pipes, logs, the database
UNLIMITED_FDS = 1_048_576  # taken where the kernel names no limit


def raise_file_limit() -> int:
    """Sets RLIMIT_NOFILE to its hard limit; returns how many clients may connect."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = UNLIMITED_FDS
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(hard - RESERVED_FDS, 1)
