"""What is known of a proxy's Application while its master is away: the newest of what was kept.

1. An earlier start wrote down what the master said; a snapshot holds what the store had later.
2. One as which no proxy can run is not taken: it would be refused if the master were there.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from csp.observe.events import log_event
from csp.snapshot.file import NAME
from csp.snapshot.keep import info_of
from csp.supervisor.application import ApplicationWanted, why_unfit
from csp.supervisor.bootstrap import APPLICATION_FILE, write_down

log = logging.getLogger("csp.supervisor")


def keep_newest(folder: Path, wanted: ApplicationWanted) -> None:
    """Takes the snapshot's Application where it is newer than the one that was written down."""
    info = info_of(folder / NAME)
    if info is None or info.application != wanted.name or not info.own:
        return
    kept = dict(info.own)
    why = why_unfit(kept, wanted)
    if why is not None:
        log_event(log, "51017", app=wanted.name, reason=why)
        return
    if _revision_of(folder / APPLICATION_FILE) < int(kept.get("revision", 0)):
        write_down(folder / APPLICATION_FILE, kept)


def _revision_of(path: Path) -> int:
    """Of the Application that was written down; -1 where none was, or it can't be read."""
    try:
        known: dict[str, Any] = json.loads(path.read_bytes())
        return int(known.get("revision", 0))
    except (FileNotFoundError, ValueError):
        return -1
