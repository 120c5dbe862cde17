"""Opens the database, with what differs between SQLite and PostgreSQL.

1. No file but this one, sqlite.py and postgres.py names a dialect.
2. An address is never shown: it may hold a password; nor are a statement's values: they may hold
   the hash of one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from csp import errors
from csp.master import sqlite
from csp.master.patience import Turn
from csp.master.sqlite import READ_ONLY, file_of, open_sqlite
from csp.master.sqlite_file import DatabaseFile

CANCELLED = ("QueryCanceled", "LockNotAvailable")  # by PostgreSQL's time-outs, as psycopg says
MIGRATING = 0x637370  # key of PostgreSQL's advisory lock: one master migrates at a time
# Names compare byte by byte: SQLite does so by itself, PostgreSQL when the collation is C.
BINARY_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
# A table that is little more than its key is its own index, where the database can do that.
CLUSTERED: dict[str, Any] = {"sqlite_with_rowid": False}


def open_engine(address: str, turn: Turn) -> tuple[Engine, DatabaseFile | None]:
    """An engine for `sqlite:///PATH`, with its file, or for a PostgreSQL address.

    Checks what can be checked without connecting; waits are told to the turn.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise errors.BadValue(
            "--db is no address such as sqlite:///PATH or postgresql://USER@HOST/NAME"
        ) from None
    backend = url.get_backend_name()
    if backend == "sqlite":
        file = file_of(url)
        return open_sqlite(url, file, turn), file
    if backend == "postgresql":
        from csp.master.postgres import open_postgres

        return open_postgres(url), None
    raise errors.BadValue(f"--db {backend}: csp keeps its configuration in sqlite or postgresql")


def file_beside(address: str, name: str) -> str:
    """The path of a file beside the database; in the working directory if it is no file."""
    path = make_url(address).database
    is_file = path and make_url(address).get_backend_name() == "sqlite"
    folder = os.path.dirname(path) if path and is_file else ""
    return os.path.join(folder or ".", name)


def reading_options(engine: Engine) -> dict[str, Any]:
    """Execution options of a connection whose transactions only read, each one revision."""
    if engine.dialect.name == "sqlite":
        return {READ_ONLY: True}
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def quick_options(engine: Engine) -> dict[str, Any]:
    """Execution options of a connection whose every statement stands alone."""
    if engine.dialect.name == "sqlite":
        return {READ_ONLY: True}
    return {"isolation_level": "AUTOCOMMIT"}


def writing(
    connection: Connection, file: DatabaseFile | None, turn: Turn
) -> AbstractContextManager[Any]:
    """A transaction for a change; its end commits, an exception rolls it back."""
    if connection.dialect.name == "sqlite":
        return sqlite.writing(connection, file, turn)
    return connection.begin()


def many_rows(connection: Connection, text: str) -> str | None:
    """A compiled statement as one for many rows, each value an array; None: row by row is best."""
    if connection.dialect.name == "sqlite":
        return None
    from csp.master import postgres

    return postgres.many_rows(text)


def count_waits(connection: Connection, turn: Turn) -> None:
    """What is waited for on this connection is waited for by the writer's loop."""
    if connection.dialect.name == "postgresql":
        from csp.master.postgres import wait_within

        wait_within(connection, turn)


def is_shared(engine: Engine) -> bool:
    """Whether masters on several machines may reach the database, so that one has a lease."""
    return engine.dialect.name == "postgresql"


def backend_of(connection: Connection) -> tuple[int, str]:
    """The server's process for a connection: its pid and start; nothing where it has none."""
    if connection.dialect.name == "sqlite":
        return 0, ""
    from csp.master import postgres

    return postgres.backend_of(connection)


def is_wait_in_vain(error: BaseException) -> bool:
    """Whether the database gave up a wait for a lock, or a statement that took too long."""
    if getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY":
        return True
    return type(error).__name__ in CANCELLED


def is_lazy(connection: Connection) -> bool:
    """Whether rows are read as they are taken, so that who has enough leaves the rest unread."""
    return connection.dialect.name == "sqlite"


@contextmanager
def patiently(connection: Connection, turn: Turn, *, is_load: bool) -> Iterator[None]:
    """Inside a transaction that reads much: no statement has to end, each piece has to come."""
    if connection.dialect.name == "sqlite":
        yield
        return
    from csp.master.postgres import READ_SECONDS_MAX, give_time, take_back_time

    count_waits(connection, turn)
    give_time(connection, READ_SECONDS_MAX if is_load else None)
    try:
        yield
    finally:
        take_back_time(connection)


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Inside a transaction that changes the tables: alone, and with time for it."""
    if connection.dialect.name == "sqlite":  # it has begun IMMEDIATE
        yield
        return
    from csp.master.postgres import MIGRATION_SECONDS_MAX, give_time, take_back_time

    give_time(connection, MIGRATION_SECONDS_MAX)
    try:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATING})")
        yield
    finally:
        take_back_time(connection)
