"""Opens SQLite; whether its files stay the ones that were opened stands in sqlite_file.py.

1. A writing transaction begins IMMEDIATE: it never fails half-way for a lock.
2. A commit that returned is on the disk: WAL with synchronous=FULL.
3. Nothing is written while the file, its WAL or its index is not the opened one: it would be lost.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError

from csp import errors
from csp.master.patience import ONE_WAIT_SECONDS_MAX, Turn
from csp.master.sqlite_file import DatabaseFile, FileLost

# Longer than a checkpoint of a large WAL; see patience.py for what one turn may wait in all.
BUSY_TIMEOUT_MS = int(1000 * ONE_WAIT_SECONDS_MAX)
WAL_BYTES_KEPT: Final = 64 * 1024 * 1024  # of a WAL that grew while somebody read for long
READ_ONLY = "csp_read_only"  # execution option of connections that only read
MEMORY: Final = ":memory:"
DAMAGE: Final = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


def file_of(url: URL) -> DatabaseFile | None:
    """The file that an address names; None in memory."""
    path = url.database
    if not path or path == MEMORY:
        return None
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise errors.BadValue(f"--db {path}: there is no folder {folder}")
    return DatabaseFile(path)


def open_sqlite(url: URL, file: DatabaseFile | None, turn: Turn) -> Engine:
    """An engine for an SQLite address; connects at the first use only."""
    if file is not None:
        url = url.set(database=f"file:{quote(file.path)}", query={"mode": "rw", "uri": "true"})
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, hide_parameters=True
    )

    def connected(connection: Any, _record: Any) -> None:
        if file is not None:
            file.note_opened()
        _settle(connection)

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get(READ_ONLY):
            connection.exec_driver_sql("BEGIN")
        else:
            _begin(connection.exec_driver_sql, file, turn)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begin)
    return engine


@contextmanager
def writing(connection: Connection, file: DatabaseFile | None, turn: Turn) -> Iterator[None]:
    """A transaction of the driver's own, which the library's would take some 60 us longer for."""
    plain: Any = connection.connection.driver_connection
    _begin(plain.execute, file, turn)
    try:
        yield
        plain.execute("COMMIT")
    except BaseException:
        if plain.in_transaction:
            plain.execute("ROLLBACK")
        raise


def _begin(execute: Callable[[str], Any], file: DatabaseFile | None, turn: Turn) -> None:
    """Begins a writing transaction, if the file is the opened one."""
    reason = file.why_not_write() if file is not None else ""
    if reason:
        raise FileLost(reason)
    began = time.monotonic()
    try:
        execute("BEGIN IMMEDIATE")
    finally:
        turn.waited(time.monotonic() - began)
    turn.answered()
    if file is not None:
        file.note_beside()


def _settle(connection: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        f"journal_size_limit={WAL_BYTES_KEPT}",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-65536",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def is_unreadable(error: Exception) -> bool:
    """Whether SQLite says that the file is no database, or a damaged one: no retry mends that."""
    return isinstance(error, DatabaseError) and is_damage(error.orig)


def is_damage(error: BaseException | None) -> bool:
    """The same of the driver's own error."""
    return str(getattr(error, "sqlite_errorname", "")).startswith(DAMAGE)


def check_whole(connection: Connection) -> str:
    """What SQLite finds wrong with the whole file; empty where nothing is."""
    found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    return "" if found == "ok" else f"the database file is damaged: {found}".replace("\n", " ")
