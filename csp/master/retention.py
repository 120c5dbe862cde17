"""Lets go of what the master keeps for a time only: log entries and write ids, in small steps.

1. The newest entries stay, up to ENTRY_BYTES_MAX, none older than ENTRY_AGE_MS_MAX.
2. A write id stays WRITE_AGE_MS_MAX: so long may a lost reply be asked for.
3. One step deletes at most STEP_ROWS_MAX rows, so that a write never waits for the tidying.
The history record of a change (who, when, what) is not touched here: only its entry's bytes go.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, func, select, tuple_, update

from csp.master import schema

ENTRY_BYTES_MAX: Final = 256 * 1024 * 1024
ENTRY_AGE_MS_MAX: Final = 24 * 3600 * 1000
WRITE_AGE_MS_MAX: Final = 24 * 3600 * 1000
STEP_ROWS_MAX: Final = 200
STEP_EVERY_MS: Final = 1000


class Retention:
    """Remembers how many bytes of entries there are, and when the last step was."""

    def __init__(self) -> None:
        self._entry_bytes = -1  # unknown until counted
        self._pruned_to = 0  # revisions up to here have no entry any more
        self._stepped_ms = 0

    def added(self, entry_bytes: int) -> None:
        if self._entry_bytes >= 0:
            self._entry_bytes += entry_bytes

    def step_due(self, monotonic_ms: int) -> bool:
        if monotonic_ms - self._stepped_ms < STEP_EVERY_MS:
            return False
        self._stepped_ms = monotonic_ms
        return True

    def step(self, connection: Connection, now_ms: int) -> int:
        """One short transaction; how many rows it let go."""
        with connection.begin():
            if self._entry_bytes < 0:
                self._entry_bytes = connection.execute(
                    select(func.coalesce(func.sum(schema.history.c.entry_size), 0)).where(
                        schema.history.c.entry.is_not(None)
                    )
                ).scalar_one()
            gone = self._prune_entries(connection, now_ms)
            return gone + self._prune_writes(connection, now_ms)

    def _prune_entries(self, connection: Connection, now_ms: int) -> int:
        table = schema.history
        oldest = connection.execute(
            select(table.c.revision, table.c.time_ms, table.c.entry_size)
            .where(table.c.revision > self._pruned_to, table.c.entry.is_not(None))
            .order_by(table.c.revision)
            .limit(STEP_ROWS_MAX)
        ).all()
        last = 0
        count = 0
        for revision, time_ms, entry_size in oldest:
            too_old = time_ms < now_ms - ENTRY_AGE_MS_MAX
            if not too_old and self._entry_bytes <= ENTRY_BYTES_MAX:
                break
            self._entry_bytes -= entry_size
            last = revision
            count += 1
        if count:
            connection.execute(
                update(table)
                .where(
                    table.c.revision > self._pruned_to,
                    table.c.revision <= last,
                    table.c.entry.is_not(None),
                )
                .values(entry=None)
            )
            self._pruned_to = last
        return count

    def _prune_writes(self, connection: Connection, now_ms: int) -> int:
        table = schema.writes
        old = (
            select(table.c.id, table.c.account)
            .where(table.c.time_ms < now_ms - WRITE_AGE_MS_MAX)
            .limit(STEP_ROWS_MAX)
        )
        key = tuple_(table.c.id, table.c.account)
        return connection.execute(delete(table).where(key.in_(old))).rowcount
