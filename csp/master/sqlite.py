"""Opens SQLite, and watches that its files stay the ones that were opened.

1. A writing transaction begins IMMEDIATE: it never fails half-way for a lock.
2. A commit that returned is on the disk: WAL with synchronous=FULL.
3. SQLite never makes the file: `create` does, for its owner alone, where the caller may.
4. Nothing is written while the file, its WAL or its index is not the opened one: it would be lost.
5. The file is looked at through one descriptor, closed after all connections are: closing any of
   a process's descriptors drops the locks that SQLite holds on it, and another program that then
   closes the database takes itself for the last one and removes the WAL.
"""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError

from csp import errors
from csp.master.patience import ONE_WAIT_SECONDS_MAX, Turn

# Longer than a checkpoint of a large WAL; see patience.py for what one turn may wait in all.
BUSY_TIMEOUT_MS = int(1000 * ONE_WAIT_SECONDS_MAX)
WAL_BYTES_KEPT: Final = 64 * 1024 * 1024  # of a WAL that grew while somebody read for long
READ_ONLY = "csp_read_only"  # execution option of connections that only read
MEMORY: Final = ":memory:"
MAGIC: Final = b"SQLite format 3\0"
HEADER_BYTES: Final = 100
WAL, INDEX = "-wal", "-shm"
DAMAGE: Final = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


class Identity(NamedTuple):
    """Which file it is, whatever its name."""

    device: int
    inode: int


class DatabaseFile:
    """The file of a database and the two beside it, as they were when they were opened."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._main: Identity | None = None
        self._beside: dict[str, Identity] = {}
        self._size = 0
        self._look_fd = -1

    def create(self) -> bool:
        """Makes it, empty, where there is none; whether it did."""
        # Hashes of secrets live here: the file belongs to its owner alone from the first byte.
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        except OSError as error:
            raise errors.BadValue(f"--db {self.path}: can't be made: {error.strerror}") from error
        return True

    def remove(self) -> None:
        """Takes back what `create` made, before anything was written into it."""
        for path in (self.path, self.path + WAL, self.path + INDEX):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def mode(self) -> int:
        """Its permissions; 0 where it is not there."""
        try:
            return stat.S_IMODE(os.stat(self.path).st_mode)
        except FileNotFoundError:
            return 0

    def why_not_open(self) -> str:
        """Why it can't be opened, or not again; empty where it can."""
        found = _identity(self.path)
        if found is None:
            return f"the database file {self.path} is not there: put it back"
        if self._main is not None and found != self._main:
            return self._replaced()
        return ""

    def note_opened(self) -> None:
        """A connection was made: from now on these are the files."""
        if self._main is None:
            self._main = _identity(self.path)

    def note_beside(self) -> None:
        """A transaction has begun: WAL and index are there now."""
        for suffix in (WAL, INDEX):
            if suffix not in self._beside:
                found = _identity(self.path + suffix)
                if found is not None:
                    self._beside[suffix] = found

    def forget_beside(self) -> None:
        """All connections are closed: SQLite makes WAL and index anew."""
        self._beside.clear()
        self._size = 0
        if self._look_fd >= 0:
            os.close(self._look_fd)
            self._look_fd = -1

    def why_not_write(self) -> str:
        """Why nothing may be written now; empty while all is well."""
        if self._main is not None and _identity(self.path) != self._main:
            return self._replaced()
        for suffix, opened in self._beside.items():
            if _identity(self.path + suffix) != opened:
                return (
                    f"the file {self.path}{suffix} was removed or replaced under the running "
                    f"master: it belongs to the database"
                )
        return ""

    def why_damaged(self) -> str:
        """What the file itself shows of a damage; SQLite would not see it, for its cache."""
        try:
            if self._look_fd < 0:
                self._look_fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            header = os.pread(self._look_fd, HEADER_BYTES, 0)
            size = os.fstat(self._look_fd).st_size
        except OSError as error:
            return f"the database file {self.path} can't be read: {error.strerror}"
        known, self._size = self._size, size
        if size == 0 and known == 0:
            return ""  # new: all is in the WAL
        if header[: len(MAGIC)] != MAGIC:
            return f"the database file {self.path} was overwritten: it is no database any more"
        page, pages = _pages(header)
        if size < page * pages:
            return f"the database file {self.path} was cut off: {size} of {page * pages} bytes"
        return ""

    def _replaced(self) -> str:
        return (
            f"the database file {self.path} was removed or replaced under the running master; "
            f"nothing is written any more: put it back, or restart the master to take what is there"
        )


def _pages(header: bytes) -> tuple[int, int]:
    """Bytes of a page, and how many pages the file has at least."""
    (page,) = struct.unpack_from(">H", header, 16)
    counter, pages = struct.unpack_from(">II", header, 24)
    (valid_for,) = struct.unpack_from(">I", header, 92)
    # An old library wrote no number of pages.
    return (65536 if page == 1 else page), (pages if counter == valid_for else 0)


def _identity(path: str) -> Identity | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Identity(status.st_dev, status.st_ino)


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


class FileLost(errors.MasterDown):
    """The file is not the one that was opened."""


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


def is_unreadable(error: DatabaseError) -> bool:
    """Whether SQLite says that the file is no database, or a damaged one: no retry mends that."""
    return is_damage(error.orig)


def is_damage(error: BaseException | None) -> bool:
    """The same of the driver's own error."""
    return str(getattr(error, "sqlite_errorname", "")).startswith(DAMAGE)


def check_whole(connection: Connection) -> str:
    """What SQLite finds wrong with the whole file; empty where nothing is."""
    found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    return "" if found == "ok" else f"the database file is damaged: {found}".replace("\n", " ")
