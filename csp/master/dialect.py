"""Opens the database, with what differs between SQLite and PostgreSQL (more in postgres.py).

1. A writing transaction begins IMMEDIATE on SQLite: it never fails half-way for a lock.
2. A commit that returned is on the disk (WAL with synchronous=FULL; PostgreSQL: postgres.py).
3. SQLite's file must be the one that was opened: nothing is written into a removed file.
4. No file but these two names a dialect. An address is never shown: it may hold a password; nor are
   a statement's values: they may hold the hash of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Text, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from csp import errors

# Longer than a checkpoint of a large WAL, shorter than the silence at which the supervisor calls
# the writer hung (3 s).
BUSY_TIMEOUT_MS = 2000
MIGRATING = 0x637370  # key of PostgreSQL's advisory lock: one master migrates at a time
# Names compare byte by byte: SQLite does so by itself, PostgreSQL when the collation is C.
BINARY_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
# A table that is little more than its key is its own index, where the database can do that.
CLUSTERED: dict[str, Any] = {"sqlite_with_rowid": False}
READ_ONLY = "csp_read_only"  # execution option of connections that only read


def open_engine(address: str) -> Engine:
    """An engine for `sqlite:///PATH` or a PostgreSQL address; checks what can be checked."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise errors.BadValue(
            "--db is no address such as sqlite:///PATH or postgresql://USER@HOST/NAME"
        ) from None
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _open_sqlite(url)
    if backend == "postgresql":
        from csp.master.postgres import open_postgres

        return open_postgres(url)
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


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Inside a transaction that changes the tables: alone, and with time for it."""
    if connection.dialect.name == "sqlite":  # it has begun IMMEDIATE
        yield
        return
    from csp.master.postgres import give_time, take_back_time

    give_time(connection)
    try:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATING})")
        yield
    finally:
        take_back_time(connection)


def is_unreadable(error: DatabaseError) -> bool:
    """Whether SQLite says that the file is no database, or a damaged one: no retry mends that."""
    name = getattr(error.orig, "sqlite_errorname", "")
    return name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))


def _open_sqlite(url: URL) -> Engine:
    path = url.database
    if path and path != ":memory:":
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise errors.BadValue(f"--db {path}: there is no folder {folder}")
        # Hashes of secrets live here: the file belongs to its owner alone from the first byte.
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise errors.BadValue(f"--db {path}: can't be opened: {error.strerror}") from error
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, hide_parameters=True
    )
    event.listen(engine, "connect", _sqlite_connected)
    event.listen(engine, "begin", _sqlite_begin)
    if path and path != ":memory:":
        event.listen(engine, "begin", _same_file(path))
    return engine


def _same_file(path: str) -> Callable[[Connection], None]:
    """Refuses to write where the file is not the opened one any more: the write would be lost."""
    opened = _identity(path)

    def check(connection: Connection) -> None:
        read_only = connection.get_execution_options().get(READ_ONLY)
        if not read_only and _identity(path) != opened:
            connection.exec_driver_sql("ROLLBACK")
            raise errors.MasterDown(
                f"the database file {path} was removed or replaced under the running master; "
                f"nothing is written any more: put it back and restart the master"
            )

    return check


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _sqlite_connected(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-65536",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
