"""Keeps the store of a master that stands by at what the database holds.

1. The entries of the log are applied in order, each where its mark continues what is published.
2. Where they don't, or the log does not reach back so far, all is loaded anew, beside what is
   there: another history, as after a failover of the database that lost its last changes.
3. One step applies STEP_BYTES_MAX: the loop goes on turning.
"""

from __future__ import annotations

from typing import Final

from csp.master.database import Database, Head
from csp.master.entries import entries_from
from csp.master.load import accounts_of, load_everything, load_other
from csp.master.published import HostView
from csp.master.reading import reading
from csp.model.entry import why_not_continues
from csp.process.origin import StoreForOrigin

STEP_REVISIONS_MAX: Final = 1000
STEP_BYTES_MAX: Final = 64 * 1024 * 1024  # no less than the largest transaction that is logged


class Follower:
    """The store of one master that takes no writes."""

    def __init__(self, database: Database, host: StoreForOrigin) -> None:
        self._database = database
        self._host = host

    def follow(self, head: Head) -> None:
        """One step towards the head; StoreFull where there is no room for it."""
        host = self._host
        if head.revision == 0:
            return  # whoever has it has not filled it yet
        if not host.loaded:
            load_everything(self._database, host, HostView(host, self._database))
            return
        if (host.stream, host.published, host.mark) == (head.stream, head.revision, head.mark):
            return
        is_behind = host.stream == head.stream and host.published < head.revision
        if not (is_behind and self._apply(head)):
            load_other(self._database, host, HostView(host, self._database))

    def _apply(self, head: Head) -> bool:
        """Applies the next entries; whether they continue what is published."""
        host = self._host
        first = host.published + 1
        last = min(head.revision, host.published + STEP_REVISIONS_MAX)
        with reading(self._database) as connection:
            entries = entries_from(connection, first, last, STEP_BYTES_MAX)
            while len(entries) != last - host.published and last > first:
                last = first + (last - first) // 2  # they are large: fewer of them
                entries = entries_from(connection, first, last, STEP_BYTES_MAX)
        if len(entries) != last - host.published:
            return False
        for entry in entries:
            if why_not_continues(entry, host.mark) is not None:
                return False
            host.apply(entry, accounts_of(self._database, entry))
        return True
