"""Lets go of what the master keeps for a time only: log, history and write ids, in small steps.

1. The log keeps the newest entries: none older than [history-log] expiration, no more bytes than
   [csp] log-window-max.
2. The history keeps [history-log] audit-max-records records, none older than audit-expiration, and
   never less than the log.
3. Records of sessions stay [history-log] client-expiration.
4. A write id stays WRITE_AGE_MS_MAX: so long may a lost reply be asked for.
5. One step takes STEP_ROWS_MAX rows, or STEP_BYTES_MAX of the log: no write waits for more. Where
   more has to go, the next step comes at once.
6. Rows go by ranges of their keys.  `head` says up to where entries are gone, and how many bytes
   are left up to where; memory only spares looking at what a step before has seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, tuple_, update

from csp.master import schema
from csp.master.session_log import prune
from csp.process.own_options import OwnOptions

DAY_MS: Final = 24 * 3600 * 1000
MEGABYTE: Final = 1024 * 1024
WRITE_AGE_MS_MAX: Final = DAY_MS
STEP_ROWS_MAX: Final = 500
STEP_BYTES_MAX: Final = 8 * MEGABYTE
STEP_EVERY_MS: Final = 1000
STEP_AGAIN_MS: Final = 100  # where a step has left something to do


@dataclass(frozen=True)
class Limits:
    """How much is kept."""

    entry_age_ms: int = 30 * DAY_MS
    entry_bytes: int = 256 * MEGABYTE
    history_age_ms: int = 365 * DAY_MS
    history_records: int = 50_000
    session_age_ms: int = DAY_MS

    @classmethod
    def of(cls, options: OwnOptions) -> Limits:
        """What the master's Application says."""
        days = options.number("expiration")
        return cls(
            entry_age_ms=DAY_MS * days,
            entry_bytes=MEGABYTE * options.number("log-window-max"),
            history_age_ms=DAY_MS * max(days, options.number("audit-expiration")),
            session_age_ms=DAY_MS * options.number("client-expiration"),
            history_records=max(
                options.number("max-records"),
                options.number("audit-max-records"),
            ),
        )


class Retention:
    """When the last step was, and what it has seen."""

    def __init__(self) -> None:
        self.limits = Limits()
        self._history_from = 0  # records up to here are gone
        self._stepped_ms = 0
        self._has_more = False

    def step_due(self, monotonic_ms: int) -> bool:
        every_ms = STEP_AGAIN_MS if self._has_more else STEP_EVERY_MS
        if monotonic_ms - self._stepped_ms < every_ms:
            return False
        self._stepped_ms = monotonic_ms
        return True

    def step(self, connection: Connection, now_ms: int | None) -> int:
        """One short transaction; how many rows it let go.  Without a time nothing is old."""
        with connection.begin():
            counts = (
                self._prune_entries(connection, now_ms),
                self._prune_history(connection, now_ms),
                self._prune_writes(connection, now_ms),
                0 if now_ms is None else prune(connection, now_ms - self.limits.session_age_ms),
            )
        self._has_more = max(counts) >= STEP_ROWS_MAX
        return sum(counts)

    def _prune_entries(self, connection: Connection, now_ms: int | None) -> int:
        table, head = schema.entries, schema.head
        row = connection.execute(select(head)).one()
        pruned_to, left = row.pruned_to, row.entry_bytes
        if row.counted_to < row.revision:
            left += connection.execute(
                select(func.coalesce(func.sum(table.c.size), 0)).where(
                    table.c.revision > row.counted_to
                )
            ).scalar_one()
        oldest = connection.execute(
            select(table.c.revision, table.c.time_ms, table.c.size)
            .where(table.c.revision > pruned_to)
            .order_by(table.c.revision)
            .limit(STEP_ROWS_MAX)
        ).all()
        count = gone = 0
        for revision, time_ms, size in oldest:
            is_old = now_ms is not None and time_ms < now_ms - self.limits.entry_age_ms
            if gone >= STEP_BYTES_MAX or not (is_old or left > self.limits.entry_bytes):
                break
            pruned_to, left, gone = revision, left - size, gone + size
            count += 1
        if count:
            connection.execute(delete(table).where(table.c.revision <= pruned_to))
        if count or row.counted_to < row.revision:
            connection.execute(
                update(head).values(pruned_to=pruned_to, counted_to=row.revision, entry_bytes=left)
            )
        return STEP_ROWS_MAX if gone >= STEP_BYTES_MAX else count

    def _prune_history(self, connection: Connection, now_ms: int | None) -> int:
        table = schema.history
        kept: Any = connection.execute(select(schema.head.c.revision)).scalar_one()
        oldest = connection.execute(
            select(table.c.revision, table.c.time_ms)
            .where(table.c.revision > self._history_from)
            .order_by(table.c.revision)
            .limit(STEP_ROWS_MAX)
        ).all()
        count = 0
        for revision, time_ms in oldest:
            is_old = now_ms is not None and time_ms < now_ms - self.limits.history_age_ms
            if not is_old and revision > kept - self.limits.history_records:
                break
            self._history_from = revision
            count += 1
        if count:
            connection.execute(delete(table).where(table.c.revision <= self._history_from))
        return count

    @staticmethod
    def _prune_writes(connection: Connection, now_ms: int | None) -> int:
        if now_ms is None:
            return 0
        table = schema.writes
        old = (
            select(table.c.id, table.c.account)
            .where(table.c.time_ms < now_ms - WRITE_AGE_MS_MAX)
            .limit(STEP_ROWS_MAX)
        )
        key = tuple_(table.c.id, table.c.account)
        return connection.execute(delete(table).where(key.in_(old))).rowcount
