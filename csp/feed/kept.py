"""Fills an empty store from the snapshot that an earlier run of the proxy has left.

1. Only where nothing is in force: what clients have seen is never followed by an older state.
2. A snapshot that can't be used is said in one line, with what to do, and left where it is.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from pathlib import Path

from csp._fastpath import StoreFull
from csp.observe.events import log_event
from csp.process.origin import StoreForOrigin
from csp.snapshot.file import NAME
from csp.snapshot.info import ANOTHERS, DAMAGED, OTHER_RELEASE, Info, SnapshotRefused
from csp.snapshot.load import load_snapshot

WHAT_TO_DO = {
    DAMAGED: "the configuration comes from the master; if it happens again, look at the disk",
    OTHER_RELEASE: "start the release that wrote it while the master is away, or wait for the"
    " master",
    ANOTHERS: "remove the file, or give this proxy another --state-dir",
}

log = logging.getLogger("csp.feed")


def load_kept(store: StoreForOrigin, folder: str, app_name: str) -> Info | None:
    """What was loaded; None where there is something in force, or nothing that can be used."""
    if not folder or store.has_generation:
        return None
    path = Path(folder) / NAME
    began = time.monotonic()
    try:
        info = load_snapshot(store, path, app_name)
    except FileNotFoundError:
        return None
    except SnapshotRefused as why:
        todo = WHAT_TO_DO[why.kind]
        log_event(log, "51361", path=path, kind=why.kind, reason=why, todo=todo)
        return None
    except StoreFull as error:
        todo = "enlarge --reserve or /dev/shm"
        log_event(log, "51361", path=path, kind="it finds no room", reason=error, todo=todo)
        return None
    log_event(
        log,
        "51362",
        revision=info.end.revision,
        time=datetime.fromtimestamp(info.heard_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        elapsed_ms=int((time.monotonic() - began) * 1000),
    )
    return info
