"""Runs the statements of changes on the driver's own cursor; the library compiles them once.

1. What the driver raises comes out as the library raises it, without a statement's values.
2. After BATCH_ROWS rows the server has to answer: what is waited for is a batch, and a server that
   is slow is not taken for one that is gone.
3. Whoever keeps the connection hears of every error first: the database may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import itemgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.dml import UpdateBase

from csp.master.dialect import many_rows
from csp.master.rows import Row

BATCH_ROWS: Final = 50

# An error of the driver, and whether the connection is gone.
Failed = Callable[[BaseException, bool], None]


class Bare(NamedTuple):
    """A statement as the driver takes it."""

    text: str
    values_of: Callable[[Row], Any] | None  # in their order; None: the driver takes them by name
    fixed: Row  # values that stand in the statement itself
    many: str | None  # the same for many rows at once, where the database can do that


class Driver:
    """The statements of one database, as its driver takes them."""

    def __init__(self, failed: Failed) -> None:
        self._failed = failed
        self._bare: dict[ClauseElement, Bare] = {}

    @contextmanager
    def errors_of(self, connection: Connection) -> Iterator[None]:
        """Turns what the driver raises into the library's exceptions."""
        driver = connection.dialect.loaded_dbapi
        try:
            yield
        except driver.Error as error:
            plain = connection.connection.dbapi_connection
            is_lost = connection.dialect.is_disconnect(error, plain, None)
            self._failed(error, is_lost)
            if is_lost:
                connection.invalidate(error)
            raise DBAPIError.instance(
                "a change",
                None,
                error,
                driver.Error,
                hide_parameters=True,
                connection_invalidated=is_lost,
                dialect=connection.dialect,
            ) from error

    @staticmethod
    def together(connection: Connection) -> AbstractContextManager[Any]:
        """Inside, statements need not wait for one another's answers, where the driver can that."""
        plain: Any = connection.connection.driver_connection
        return plain.pipeline() if hasattr(plain, "pipeline") else nullcontext()

    def run(self, connection: Connection, statement: ClauseElement, rows: Sequence[Row]) -> Any:
        """Runs a statement for every row; the cursor."""
        bare = self._compiled(connection, statement)
        plain: Any = connection.connection.driver_connection
        cursor = plain.cursor()
        values: Sequence[Any] = [bare.fixed | row for row in rows] if bare.fixed else rows
        if bare.values_of is not None:
            values = list(map(bare.values_of, values))
        if len(values) == 1:
            cursor.execute(bare.text, values[0])
            return cursor
        for first in range(0, len(values), BATCH_ROWS):
            some = values[first : first + BATCH_ROWS]
            if bare.many is None:
                cursor.executemany(bare.text, some)
                continue
            with self.together(connection):
                cursor.execute(bare.many, {name: [row[name] for row in some] for name in some[0]})
        return cursor

    def ask(
        self, connection: Connection, question: ClauseElement, values: Mapping[str, Any]
    ) -> list[Any]:
        """The rows of one answer."""
        with self.errors_of(connection):
            cursor = self.run(connection, question, [dict(values)])
            found: list[Any] = cursor.fetchall()
            return found

    def ask_each(
        self, connection: Connection, question: ClauseElement, values: Sequence[Row]
    ) -> list[list[Any]]:
        """The rows of the answer to one question, for each of many values."""
        with self.errors_of(connection):
            with self.together(connection):
                cursors = [self.run(connection, question, [one]) for one in values]
            return [cursor.fetchall() for cursor in cursors]

    def _compiled(self, connection: Connection, statement: ClauseElement) -> Bare:
        bare = self._bare.get(statement)
        if bare is None:
            compiled: Any = statement.compile(dialect=connection.dialect)
            fixed = {name: value for name, value in compiled.params.items() if value is not None}
            values_of = _taker(compiled.positiontup) if compiled.positiontup is not None else None
            text = str(compiled).replace("\n", "")
            many = many_rows(connection, text) if isinstance(statement, UpdateBase) else None
            self._bare[statement] = bare = Bare(text, values_of, fixed, many)
        return bare


def _taker(names: Sequence[str]) -> Callable[[Row], Any]:
    """What takes a row's values in this order."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: tuple([row[name] for name in names])
