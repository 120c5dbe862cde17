"""Looks for damage in the store while the writer has nothing else to do.

1. A step takes what `scrub-rate` allows in one tick of the writer; changes wait as long.
2. Between two passes over all records lies `scrub-pause`; the first one waits as long.
   A new value of either holds from the next step, or the next wait, on.
3. Damage is logged once, and raises an alarm that stays until a whole pass has found nothing.
   The writer then ends: its successor checks every record before it takes the store over, trusts
   it no more and loads the next generation from the origin, while readers go on with what is there.
"""

from __future__ import annotations

from typing import Protocol

from csp.model.types import by_id
from csp.process.own_options import OwnOptions
from csp.store.alarms import ALARM_DAMAGED
from csp.store.host import Damage
from csp.tables.events import Alarm

MEGABYTE = 1_000_000


class Scrubbed(Protocol):
    """The store as the scrubber sees it."""

    @property
    def loaded(self) -> bool: ...

    def scrub(self, bytes_max: int) -> tuple[bool, Damage | None]:
        """Checks the next records; whether the last was among them, and damage."""

    def raise_alarm(self, alarm: Alarm, number: str = "", /, **fields: object) -> None: ...
    def end_alarm(self, alarm: Alarm, /, **fields: object) -> None: ...


class Scrubber:
    """Goes over all records again and again, slowly."""

    def __init__(self, store: Scrubbed, options: OwnOptions) -> None:
        self._store = store
        self._options = options
        self._next_pass_ms: int | None = None

    def tick(self, now_ms: int, passed_ms: int) -> bool:
        """One step when it is due, for the time that has passed; whether damage was found."""
        if not self._store.loaded:
            return False
        if self._next_pass_ms is None:
            self._wait(now_ms)
        if self._next_pass_ms is None or now_ms < self._next_pass_ms:
            return False
        rate_mb = self._options.number("scrub-rate")
        if not rate_mb:
            self._wait(now_ms)
            return False
        ended, damage = self._store.scrub(rate_mb * MEGABYTE * passed_ms // 1000)
        if ended:
            self._wait(now_ms)
        if damage is None:
            if ended:
                self._store.end_alarm(ALARM_DAMAGED)
            return False
        known = by_id.get(damage.class_id)
        name = known.name if known is not None else "account of"
        self._store.raise_alarm(
            ALARM_DAMAGED, type=name, dbid=damage.dbid, revision=damage.revision
        )
        return True

    def _wait(self, now_ms: int) -> None:
        self._next_pass_ms = now_ms + 1000 * self._options.number("scrub-pause")
