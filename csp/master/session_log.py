"""Keeps the records of sessions: written in batches, beside the configuration, in nobody's way.

1. They are no part of any change: the head stays where it is, and a batch that the database refuses
   is lost, which event 22138 tells; service goes on.
2. What waits to be written is bounded by WAITING_MAX; what comes beyond is lost and told too.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import orjson
from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from csp.master import schema
from csp.master.database import Database, said
from csp.model.sessions import SessionsPage, SessionsQuestion
from csp.observe.events import log_event

WAITING_MAX: Final = 20_000
STEP_ROWS_MAX: Final = 500  # of one transaction: some 5 ms
_table = schema.session_log

log = logging.getLogger("csp.master")


class SessionLog:
    """What is to be written of them."""

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] = []
        self._lost = 0
        self._number = 0  # of the last row; 0: not looked at yet

    def add(self, records: list[dict[str, Any]]) -> None:
        """Takes a batch."""
        room = WAITING_MAX - len(self._waiting)
        self._waiting += records[:room]
        self._lost += max(0, len(records) - room)

    def begin(self) -> None:
        """This master writes from now on; another one may have written since it did so last."""
        self._number = 0

    def write(self, database: Database) -> bool:
        """Writes some of what waits, in each tick; whether the database took it."""
        if self._lost:
            reason = f"{WAITING_MAX} wait already"
            log_event(log, "22138", count=self._lost, what="sessions", reason=reason)
            self._lost = 0
        if not self._waiting:
            return True
        some = self._waiting[:STEP_ROWS_MAX]
        del self._waiting[:STEP_ROWS_MAX]
        connection = database.connection
        try:
            with connection.begin():
                self._insert(connection, some)
        except SQLAlchemyError as error:
            self._number = 0
            log_event(log, "22138", count=len(some), what="sessions", reason=said(error))
            return False
        return True

    def close(self, database: Database) -> None:
        """Writes what waits, as the master ends, for as long as the database takes it."""
        while self._waiting and self.write(database):
            pass

    def _insert(self, connection: Connection, records: list[dict[str, Any]]) -> None:
        if not self._number:
            newest = connection.execute(select(func.max(_table.c.number))).scalar_one()
            self._number = newest or 0
        rows = [
            {
                "number": self._number + at,
                "time_ms": int(one.get("time", 0)),
                "account": int(str(one.get("account", "")).rpartition(":")[2] or 0),
                "record": orjson.dumps(one).decode(),
            }
            for at, one in enumerate(records, 1)
        ]
        connection.execute(insert(_table), rows)
        self._number += len(rows)


def prune(connection: Connection, older_than_ms: int) -> int:
    """Lets go of some of the oldest; how many."""
    old = select(_table.c.number).where(_table.c.time_ms < older_than_ms).limit(STEP_ROWS_MAX)
    return connection.execute(delete(_table).where(_table.c.number.in_(old))).rowcount


def sessions_page(connection: Connection, question: SessionsQuestion) -> SessionsPage:
    """The records from a time on."""
    times = select(_table.c.time_ms, _table.c.record).where(_table.c.time_ms >= question.since_ms)
    if question.account:
        times = times.where(_table.c.account == question.account)
    ordered = times.order_by(_table.c.time_ms, _table.c.number)
    with connection.begin():
        rows = connection.execute(ordered.limit(question.limit)).all()
        if len(rows) < question.limit:
            return SessionsPage(0, [row.record.encode() for row in rows])
        last_ms = rows[-1].time_ms
        rest = ordered.where(_table.c.time_ms == last_ms)
        kept = [row.record.encode() for row in rows if row.time_ms < last_ms]
        kept += [row.record.encode() for row in connection.execute(rest)]
    return SessionsPage(last_ms + 1, kept)
