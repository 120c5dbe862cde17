"""Tells the origin which pair this server belongs to, whenever the Applications say it anew.

1. The origin hears of it before its first tick behind a load, and at each change of either
   Application, or of the Hosts that they run on: a pair is split and joined at run time.
2. What of the server's redundancy fits nothing is an alarm; what is meant is not guessed.
3. It looks at the store at most each CHECK_MS, and only where something was published.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import orjson

from csp.model.keys import KEYS
from csp.model.redundancy import Application, Pair, pair_of, problems_of
from csp.process.application import APPLICATION, Finder, dbid_of, host_name_of
from csp.process.context import ProcessContext
from csp.process.own_options import CHECK_MS
from csp.store.alarms import ALARM_REDUNDANCY
from csp.tables.events import Alarm

NAMED_MAX = 100  # primaries of one backup that are looked at: two are one too many
NAMED_BY = KEYS[APPLICATION.name, "backup_server_dbid"].key_id


class Shown(Protocol):
    """What says that another generation is in force."""

    generation: int


class Store(Protocol):
    """What is asked of the store."""

    @property
    def published(self) -> int: ...
    def reader(self) -> Finder | None:
        """The newest published state; None before the first load."""

    def raise_alarm(self, alarm: Alarm, number: str = "", /, **fields: object) -> None: ...
    def end_alarm(self, alarm: Alarm, /, **fields: object) -> None: ...


class Taker(Protocol):
    """Whom it is told."""

    def take_pair(self, pair: Pair | None, own_dbid: int) -> None: ...


class OwnPair:
    """The pair as it was told last."""

    def __init__(self, context: ProcessContext, store: Store, shown: Shown, origin: Taker) -> None:
        self._app_name = context.app_name
        self._store = store
        self._shown = shown
        self._origin = origin
        self._next_look_ms = 0
        self._looked_at = (0, 0)  # generation and revision
        self._told: tuple[Pair | None, int] | None = None

    def tick(self, now_ms: int) -> None:
        """Looks, where something was published since the last time."""
        place = (self._shown.generation, self._store.published)
        if now_ms < self._next_look_ms or place == self._looked_at:
            return
        reader = self._store.reader()
        if reader is None:
            return
        self._next_look_ms = now_ms + CHECK_MS
        self._looked_at = place
        self._take(reader)

    def _take(self, reader: Finder) -> None:
        seen = _Applications(reader)
        dbid = dbid_of(reader, APPLICATION.name, "name", self._app_name)
        own = seen.get(dbid)
        pair = None if own is None else pair_of(own, seen.get, seen.named_by)
        if pair is not None:
            pair = replace(
                pair, hosts=(host_name_of(reader, pair.primary), host_name_of(reader, pair.backup))
            )
        self._watch(own, seen)
        if self._told != (pair, dbid):
            self._told = (pair, dbid)
            self._origin.take_pair(pair, dbid)

    def _watch(self, own: Application | None, seen: _Applications) -> None:
        """Raises the alarm of an Application that fits no pair and no pool."""
        problems = [] if own is None else problems_of(own, seen.get, seen.named_by)
        told = "; ".join(one.told(seen.name_of) for one in problems)
        if told:
            self._store.raise_alarm(ALARM_REDUNDANCY, app=self._app_name, reason=told)
        elif own is not None:
            self._store.end_alarm(ALARM_REDUNDANCY, app=self._app_name)


class _Applications:
    """The Applications of one look, each parsed once."""

    def __init__(self, reader: Finder) -> None:
        self._reader = reader
        self._known: dict[int, dict[str, Any] | None] = {}

    def get(self, dbid: int) -> Application | None:
        if dbid not in self._known:
            data = self._reader.get(APPLICATION.id, dbid) if dbid else None
            self._known[dbid] = orjson.loads(data) if data else None
        return self._known[dbid]

    def named_by(self, dbid: int) -> list[Application]:
        found = self._reader.find(NAMED_BY, dbid.to_bytes(4, "little"))[:NAMED_MAX]
        return [one for one in map(self.get, found) if one is not None]

    def name_of(self, dbid: int) -> str:
        return str((self.get(dbid) or {}).get("name", f"{APPLICATION.name}:{dbid}"))
