"""What the masters of one database show each other: the standbys a row each, the primary its name.

1. A standby is there while the counter of its row moves, by the primary's own clock; a row of one
   that went is removed.
2. It is level if it has what the primary had when it last looked but one.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Final

from csp.master import statements
from csp.master.database import Database
from csp.master.seat import LEASE_MS, RENEW_MS, Holder

GONE_MS: Final = 60_000  # after which the row of a standby that shows nothing is removed
LOOKS: Final = 3  # as old as the revision that a level standby has, in looks of the primary

log = logging.getLogger("csp.master")


@dataclass(frozen=True)
class Told:
    """What a standby says of itself."""

    application: str
    address: str
    revision: int
    mark: str

    def pack(self) -> str:
        """As it stands in its row."""
        return json.dumps(asdict(self), separators=(",", ":"))


@dataclass
class Standby:
    """One of them, as the primary sees it."""

    name: str
    beat: int
    moved_ms: int
    told: Told
    is_new: bool = True  # its counter was not seen to move yet


class Standbys:
    """Those that the primary sees; `look` is to be called each RENEW_MS."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Standby] = {}
        self._revisions: deque[int] = deque(maxlen=LOOKS)
        self._now_ms = 0

    def look(self, now_ms: int, revision: int) -> None:
        """Reads their rows; `now_ms` never jumps, `revision` is the primary's own."""
        self._now_ms = now_ms
        self._revisions.append(revision)
        rows = self._database.ask(statements.STANDBYS)
        self._known = {name: self._seen(name, beat, text) for name, beat, text in rows}
        for one in [*self._known.values()]:
            if now_ms - one.moved_ms > GONE_MS:
                self._database.tell(statements.DROP_STANDBY, name_=one.name)
                del self._known[one.name]

    def _seen(self, name: str, beat: int, text: str) -> Standby:
        before = self._known.get(name)
        if before is not None and before.beat == beat:
            return before
        found: dict[str, Any] = json.loads(text)
        return Standby(name, beat, self._now_ms, Told(**found), is_new=before is None)

    @property
    def best(self) -> Standby | None:
        """The one that is there and furthest on; None: there is none."""
        there = [
            one
            for one in self._known.values()
            if not one.is_new and self._now_ms - one.moved_ms <= LEASE_MS
        ]
        return max(there, key=lambda one: one.told.revision, default=None)

    def lag(self, one: Standby) -> int:
        """How many changes it lacks of what was there a moment ago."""
        return max(0, self._revisions[0] - one.told.revision) if self._revisions else 0


class Presence:
    """A standby's own row."""

    def __init__(self, database: Database, me: Holder) -> None:
        self._database = database
        self._me = me
        self._shown_ms = -RENEW_MS

    def show(self, now_ms: int, revision: int, mark: int) -> None:
        """Moves the counter of the row, each RENEW_MS."""
        if now_ms - self._shown_ms < RENEW_MS:
            return
        self._shown_ms = now_ms
        told = Told(self._me.application, self._me.address, revision, f"{mark:016x}").pack()
        if not self._database.tell(statements.TELL_STANDBY, name_=self._me.name, told=told):
            row = {"name": self._me.name, "beat": 1, "told": told}
            self._database.tell(statements.ADD_STANDBY, **row)

    def withdraw(self) -> None:
        """Takes the row away: it is primary now, or it stops."""
        self._database.tell(statements.DROP_STANDBY, name_=self._me.name)
