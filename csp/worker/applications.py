"""Keeps the few words of Applications that decide what a client may serve, by name.

1. Whether the asker may read an Application is asked each time; what it says is read once a
   revision: a desktop's has kilobytes of options, and is a thousand desktops'.
2. At most KNOWN_MAX are kept; beyond, all are forgotten.
"""

from __future__ import annotations

from typing import Any

import orjson

from csp.process.application import APPLICATION, dbid_of
from csp.worker.ports import View

KNOWN_MAX = 1_000
KEPT = ("DBID", "name", "isServer", "type", "state", "serverInfo")


class Applications:
    """Those that were asked for lately."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[bytes, int, dict[str, Any]]] = {}  # by DBID

    def named(self, reader: View, name: str | bytes) -> dict[str, Any] | None:
        """What is kept of the Application of this name; None where none may be read."""
        dbid = dbid_of(reader, APPLICATION.name, "name", name)
        revision = reader.revision_of(APPLICATION.id, dbid) if dbid else 0
        if not revision:
            return None
        known = self._known.get(dbid)
        if known is not None and known[:2] == (reader.stream, revision):
            return known[2]
        found = reader.get(APPLICATION.id, dbid)
        if found is None:
            return None
        whole = orjson.loads(found)
        kept = {word: whole[word] for word in KEPT if word in whole}
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[dbid] = reader.stream, revision, kept
        return kept
