"""A look at an SQLite database's file while others write: what is whole does not look lost."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.master import sqlite_file
from csp.master.sqlite_file import FRAME_HEADER_BYTES, WAL, WAL_HEADER_BYTES, DatabaseFile

PAGE = 4096
ROW = "x" * 3000  # so that every row takes a page


class Writer:
    """A program that writes into a database and saves its WAL when it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = self.connect()
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA wal_autocheckpoint=0")
        self._connection.execute("CREATE TABLE t (text)")

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None)

    def add(self, rows: int) -> None:
        self._connection.executemany("INSERT INTO t VALUES (?)", [(ROW,)] * rows)

    def remove_all(self) -> None:
        self._connection.execute("DELETE FROM t")
        self._connection.execute("VACUUM")

    def checkpoint(self, mode: str = "TRUNCATE") -> None:
        self._connection.execute(f"PRAGMA wal_checkpoint({mode})")

    def begin_checkpoint(self) -> None:
        """Writes page 1 of the WAL to the file, as a checkpoint does first, and nothing else."""
        newest = b""
        with open(f"{self.path}{WAL}", "rb") as wal, self.path.open("r+b") as file:
            wal.seek(WAL_HEADER_BYTES)
            while len(frame := wal.read(FRAME_HEADER_BYTES + PAGE)) == FRAME_HEADER_BYTES + PAGE:
                if frame[:4] == b"\0\0\0\1":
                    newest = frame[FRAME_HEADER_BYTES:]
            file.write(newest)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    found = Writer(tmp_path / "some.db")
    yield found
    found.close()


@pytest.fixture
def file(writer: Writer) -> Iterator[DatabaseFile]:
    found = DatabaseFile(str(writer.path))
    yield found
    found.forget_beside()


def told_bytes(path: Path) -> int:
    """How long the file is by its own first page."""
    return PAGE * int.from_bytes(path.read_bytes()[28:32], "big")


@pytest.mark.parametrize("is_new", [True, False])
def test_a_checkpoint_that_is_under_way_is_no_damage(
    writer: Writer, file: DatabaseFile, is_new: bool
) -> None:
    if not is_new:
        writer.add(10)
        writer.checkpoint()
        assert file.why_damaged() == ""
    writer.add(30)
    writer.begin_checkpoint()
    assert writer.path.stat().st_size < told_bytes(writer.path)
    assert file.why_damaged() == ""
    writer.checkpoint()
    assert file.why_damaged() == ""


def test_a_checkpoint_that_a_reader_holds_up_is_no_damage(
    writer: Writer, file: DatabaseFile
) -> None:
    """What changed again after the reader's snapshot stays in the WAL, for as long as it reads."""
    writer.checkpoint()
    writer.add(30)
    reader = writer.connect()
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM t").fetchone()
    writer._connection.execute("UPDATE t SET text = 'y' || text WHERE rowid > 20")
    writer.checkpoint("PASSIVE")
    assert writer.path.stat().st_size < told_bytes(writer.path)
    for _ in range(3):
        assert file.why_damaged() == ""
    reader.close()


def test_a_file_that_a_checkpoint_shortened_is_no_damage(
    writer: Writer, file: DatabaseFile
) -> None:
    writer.add(30)
    writer.checkpoint()
    assert file.why_damaged() == ""
    size = writer.path.stat().st_size
    writer.remove_all()
    writer.checkpoint()
    assert writer.path.stat().st_size < size
    assert file.why_damaged() == ""


def test_the_first_page_between_two_readings_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was empty when its first bytes were read, and is not when its size is."""
    file = DatabaseFile(str(tmp_path / "new.db"))
    assert file.create()
    pread, writers = os.pread, []

    def interrupted(fd: int, count: int, at: int) -> bytes:
        found = pread(fd, count, at)
        if not writers:
            writers.append(Writer(tmp_path / "new.db"))
        return found

    monkeypatch.setattr(sqlite_file.os, "pread", interrupted)
    assert file.why_damaged() == ""
    assert (tmp_path / "new.db").stat().st_size > 0
    writers[0].close()


@pytest.mark.parametrize("is_known", [True, False])
def test_pages_that_neither_file_nor_wal_has_were_cut_off(
    writer: Writer, file: DatabaseFile, is_known: bool
) -> None:
    writer.add(30)
    writer.checkpoint()
    if is_known:
        assert file.why_damaged() == ""
    writer.add(1)  # the WAL has something, too
    os.truncate(writer.path, 10 * PAGE)
    assert "was cut off: 40960 of " in file.why_damaged()


def test_a_file_that_was_longer_was_cut_off_whatever_the_wal_has(
    writer: Writer, file: DatabaseFile
) -> None:
    """SQLite reads from the file what it has saved there, though the WAL has it still."""
    writer.add(30)
    writer.checkpoint("PASSIVE")
    assert file.why_damaged() == ""
    os.truncate(writer.path, 10 * PAGE)
    for _ in range(2):
        assert "was cut off: 40960 of " in file.why_damaged()


def test_pages_of_an_earlier_round_of_the_wal_do_not_count(
    writer: Writer, file: DatabaseFile
) -> None:
    writer.add(30)
    writer.checkpoint("RESTART")  # its frames stay behind, of no use to anybody
    writer.add(1)
    os.truncate(writer.path, 10 * PAGE)
    assert "was cut off: 40960 of " in file.why_damaged()
