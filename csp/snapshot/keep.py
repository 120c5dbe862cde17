"""Keeps a proxy's snapshot up to date: one attempt, and what the log says of it.

This is the main of a short-lived process: it may wait for the disk, and nobody waits for it.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from csp._fastpath import StoreError
from csp.model.keys import TABLE_DIGEST
from csp.observe.events import log_event
from csp.snapshot.file import SnapshotFile
from csp.snapshot.info import Info, SnapshotRefused
from csp.snapshot.pace import Pace
from csp.snapshot.write import SnapshotFailed, write_snapshot
from csp.store.locks import LockHeld
from csp.store.segment import SegmentMissing

# For a snapshot beside the service, its start and end included at most a tenth; one at the stop
# has the machine.
SHARE_OF_A_CORE = 0.09
NICENESS = 10

log = logging.getLogger("csp.snapshot")


def keep_snapshot(
    instance: str,
    path: Path,
    app_name: str,
    *,
    share: float = SHARE_OF_A_CORE,
    always: bool = False,
    table: int = TABLE_DIGEST,
) -> str:
    """Brings the file to what the instance serves; why that failed, "" where it is so.

    `always`: also where the file has that state already, so that its age is of now.
    """
    began = time.monotonic()
    if share < 1:
        os.nice(NICENESS)
    known = None if always else info_of(path)
    try:
        info = write_snapshot(instance, path, app_name, Pace(share), table=table, known=known)
    except OSError as error:
        return f"{path}: {error.strerror or error}"
    except (SnapshotFailed, SegmentMissing, LockHeld, StoreError) as error:
        return str(error)
    if info is not known:
        elapsed_ms = int((time.monotonic() - began) * 1000)
        size = path.stat().st_size
        log_event(log, "51360", revision=info.end.revision, bytes=size, elapsed_ms=elapsed_ms)
    return ""


def info_of(path: Path) -> Info | None:
    """What the snapshot says of itself; None where there is none that can be used."""
    try:
        with SnapshotFile(path) as file:
            return file.info
    except (FileNotFoundError, SnapshotRefused):
        return None
