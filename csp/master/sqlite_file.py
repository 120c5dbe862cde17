"""Watches that the files of an SQLite database stay the ones that were opened, and whole.

1. SQLite never makes the file: `create` does, for its owner alone, where the caller may.
2. The file is looked at through one descriptor, closed after all connections are: closing any of
   a process's descriptors drops the locks that SQLite holds on it, and another program that then
   closes the database takes itself for the last one and removes the WAL.
3. Others write while it is looked at.  A checkpoint writes page 1, which counts the pages, before
   those behind it, and leaves out what a reader's snapshot forbids: a page that the file does not
   have yet may be in the WAL.  Only what neither has was lost.
4. A damage is believed when a second look shows the same.
5. Its master holds a lock on a byte far beyond the file's end, which dies with the process: another
   one does not even begin.
"""

from __future__ import annotations

import os
import stat
import struct
import time
from contextlib import suppress
from typing import Final, NamedTuple

from csp import errors
from csp.store.locks import FIRST_BYTE, lock_byte

MAGIC: Final = b"SQLite format 3\0"
HEADER_BYTES: Final = 100
WAL_HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24
TAKE_SECONDS_MAX: Final = 1.0
TAKE_PAUSE_SECONDS: Final = 0.05
WAL, INDEX = "-wal", "-shm"


class FileLost(errors.MasterDown):
    """The file is not the one that was opened."""


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
        self._lock_fd = -1

    def take(self) -> bool:
        """Becomes its one master until `release`; False where another process is.

        A predecessor that just dies is waited for.
        """
        if self._lock_fd >= 0:
            return True
        reason = self.why_not_open()
        if reason:
            raise FileLost(reason)
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        end = time.monotonic() + TAKE_SECONDS_MAX
        while True:
            if lock_byte(fd, FIRST_BYTE):
                self._lock_fd = fd
                return True
            if time.monotonic() > end:
                os.close(fd)
                return False
            time.sleep(TAKE_PAUSE_SECONDS)

    def release(self) -> None:
        """Lets another master begin; to be called when all connections are closed."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

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
        first = self._damage()
        return first and (first if self._damage() == first else "")

    def _damage(self) -> str:
        """What one look shows, which another process's writes may have come between."""
        try:
            if self._look_fd < 0:
                self._look_fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            header = os.pread(self._look_fd, HEADER_BYTES, 0)
            told = _bytes_told(header)
            # Before the size: what is no longer in the WAL by then has come to the file.
            is_short = os.fstat(self._look_fd).st_size < told
            held = _pages_of_wal(self.path + WAL) if is_short else set()
            size = os.fstat(self._look_fd).st_size
        except OSError as error:
            return f"the database file {self.path} can't be read: {error.strerror}"
        if size == 0 and self._size == 0:
            return ""  # new: all is in the WAL
        if header[: len(MAGIC)] != MAGIC:
            return f"the database file {self.path} was overwritten: it is no database any more"
        # A checkpoint that shortens the file has written a shorter page 1 before.
        if size < told and (size < self._size or not held.issuperset(_pages_between(header, size))):
            return f"the database file {self.path} was cut off: {size} of {told} bytes"
        self._size = size
        return ""

    def _replaced(self) -> str:
        return (
            f"the database file {self.path} was removed or replaced under the running master; "
            f"nothing is written any more: put it back, or restart the master to take what is there"
        )


def _page_bytes(header: bytes) -> int:
    (page,) = struct.unpack_from(">H", header, 16)
    return 65536 if page == 1 else page


def _bytes_told(header: bytes) -> int:
    """How long the first page says that the file is; 0 where it doesn't."""
    if header[: len(MAGIC)] != MAGIC or len(header) < HEADER_BYTES:
        return 0
    counter, pages = struct.unpack_from(">II", header, 24)
    (valid_for,) = struct.unpack_from(">I", header, 92)
    # An old library wrote no number of pages.
    return _page_bytes(header) * pages if counter == valid_for else 0


def _pages_between(header: bytes, size: int) -> range:
    """The numbers of the pages that a file of this size lacks."""
    page = _page_bytes(header)
    return range(size // page + 1, _bytes_told(header) // page + 1)


def _pages_of_wal(path: str) -> set[int]:
    """The numbers of the pages that a WAL holds, committed or not.

    Its form is that of https://www.sqlite.org/fileformat2.html#walformat.
    """
    found: set[int] = set()
    try:
        # SQLite holds no locks on this one that closing it could drop.
        with open(path, "rb", buffering=0) as file:
            header = file.read(WAL_HEADER_BYTES)
            if len(header) < WAL_HEADER_BYTES:
                return found
            (page,) = struct.unpack_from(">I", header, 8)
            at = WAL_HEADER_BYTES
            while (
                len(frame := os.pread(file.fileno(), FRAME_HEADER_BYTES, at)) == FRAME_HEADER_BYTES
            ):
                if frame[8:16] != header[16:24]:
                    break  # of an earlier round
                found.add(int.from_bytes(frame[:4], "big"))
                at += FRAME_HEADER_BYTES + page
    except FileNotFoundError:
        pass
    return found


def _identity(path: str) -> Identity | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Identity(status.st_dev, status.st_ino)
