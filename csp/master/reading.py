"""Reads all that the database holds, at one revision, in chunks that are bounded by bytes.

1. A reading has a connection and a transaction of its own: the writer's go on beside it.
2. The server may take its time: what is waited for is its next piece, not the end of a statement.
3. A chunk is the rows whose bodies begin within READ_BYTES: one object may be large, many can't be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, select, tuple_

from csp.master import schema, statements
from csp.master.database import Database
from csp.master.dialect import is_lazy, patiently
from csp.model.types import MAX_DBID

READ_ROWS: Final = 2000
READ_BYTES: Final = 2 * 1024 * 1024
ACCOUNT_ROWS: Final = 5000
GRANT_ROWS: Final = 5000


@contextmanager
def reading(database: Database, *, is_load: bool = False) -> Iterator[Connection]:
    """A connection whose statements all see one revision.

    A load is waited for longer than what is done in steps between the writes.
    """
    with database.reading() as connection, patiently(connection, database.turn, is_load=is_load):
        yield connection


def object_row(connection: Connection, class_id: int, dbid: int) -> Any | None:
    """One object's row, or None."""
    values = {"class_id_": class_id, "after": dbid - 1, "most": 1}
    row = connection.execute(statements.OBJECTS_AFTER, values).one_or_none()
    return row if row is not None and row.dbid == dbid else None


def objects_after(connection: Connection, class_id: int, dbid: int) -> Sequence[Any]:
    """The next rows of one class in DBID order: dbid, revision, body; empty at its end."""
    values = {"class_id_": class_id, "after": dbid, "most": READ_ROWS}
    if not is_lazy(connection):
        return connection.execute(
            statements.OBJECTS_WITHIN, {**values, "bytes_max": READ_BYTES}
        ).all()
    rows: list[Any] = []
    size = 0
    with connection.execute(statements.OBJECTS_AFTER, values) as result:
        for row in result:
            rows.append(row)
            size += len(row.body)
            if size >= READ_BYTES:
                break
    return rows


def accounts(connection: Connection) -> Iterator[Any]:
    """The rows of all accounts, in order."""
    table = schema.accounts
    class_id = dbid = 0
    while True:
        rows = connection.execute(
            select(table)
            .where(
                (table.c.class_id > class_id)
                | ((table.c.class_id == class_id) & (table.c.dbid > dbid))
            )
            .order_by(table.c.class_id, table.c.dbid)
            .limit(ACCOUNT_ROWS)
        ).all()
        yield from rows
        if len(rows) < ACCOUNT_ROWS:
            return
        class_id, dbid = rows[-1].class_id, rows[-1].dbid


def grants(connection: Connection, low: int, high: int) -> Iterator[Any]:
    """The rows of all grants with numbers from `low` to `high`, in order."""
    table = schema.grants
    key = (table.c.number, table.c.account_class, table.c.account_dbid)
    after = (low - 1, 0x10000, 0)  # behind all accounts of the number before
    high = min(high, MAX_DBID)
    while after[0] < high:
        rows = connection.execute(
            select(table)
            .where(tuple_(*key) > tuple_(*after), table.c.number <= high)
            .order_by(*key)
            .limit(GRANT_ROWS)
        ).all()
        yield from rows
        if len(rows) < GRANT_ROWS:
            return
        after = (rows[-1].number, rows[-1].account_class, rows[-1].account_dbid)
