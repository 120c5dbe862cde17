"""A real master under writes while its database goes through every state of trouble.

Afterwards, and once more after the whole server was killed, every answered write is there.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from csp.exits import EXIT_REFUSED
from tests.effort import parametrize_few
from tests.neighbours.databases import SqlitePlace
from tests.neighbours.postgres import Postgres
from tests.neighbours.server import Master
from tests.neighbours.waiting import wait_until

WRITES_BEFORE = 20
WRITES_AFTER = 10
REFUSALS = 3
HEAD_LOCK_SECONDS = 5  # longer than the supervisor waits for a sign of life
AUTHORS_AT_A_LOCK = 12


class Author(threading.Thread):
    """Creates skills, one after the other, and notes what was answered."""

    def __init__(self, master: Master, name: str = "skill") -> None:
        super().__init__(name=name)
        self.master = master
        self.done: dict[str, int] = {}  # name -> DBID
        self.refused: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        number = 0
        with self.master.client() as client:
            while not self.enough.is_set():
                number += 1
                name = f"{self.name} {number}"
                text = json.dumps({"tenantDBID": 1, "name": name})
                try:
                    _, dbid = client.execute_command("CFG.CREATE", "CfgSkill", text)
                except redis.exceptions.MasterDownError as error:  # its word was cut off
                    self.refused.append(f"MASTERDOWN {error}")
                except redis.ResponseError as error:
                    self.refused.append(str(error))
                else:
                    self.done[name] = dbid

    def stop(self) -> None:
        self.enough.set()
        self.join(30)
        assert not self.is_alive(), "an answer did not come"


@contextmanager
def writing(master: Master) -> Iterator[Author]:
    author = Author(master)
    author.start()
    try:
        wait_until(lambda: len(author.done) >= WRITES_BEFORE, 30, "writes")
        yield author
    finally:
        author.stop()


def status(master: Master) -> dict[str, Any]:
    with master.client() as client:
        flat = client.execute_command("CFG.STATUS")
        return dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat


def check(master: Master, author: Author) -> None:
    """Every answered write is what it was answered as."""
    with master.client() as client:
        for name, dbid in author.done.items():
            text = client.get(f"CfgSkill:{dbid}")
            assert text is not None, f"{name} was answered as CfgSkill:{dbid} and is lost"
            assert json.loads(text)["name"] == name


def check_after_a_crash(master: Master, author: Author) -> None:
    check(master, author)
    master.kill()
    for file in Path("/dev/shm").glob(f"csp-*{master.port}*"):
        file.unlink()  # what the database has must be enough
    master.start()
    check(master, author)


def is_down(master: Master) -> bool:
    return status(master)["link"] == "down"


def is_well(master: Master) -> bool:
    found = status(master)
    return found["link"] == "database" and not found["alarms"]


@contextmanager
def locked(path: Path, master: Master) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@contextmanager
def full(path: Path, master: Master) -> Iterator[None]:
    """No file of the writer may grow: stands for a full disk."""
    writer = master.child("writer")
    largest = max(one.stat().st_size for one in path.parent.glob(path.name + "*"))
    writer.rlimit(psutil.RLIMIT_FSIZE, (largest + 4096, psutil.RLIM_INFINITY))
    yield
    writer.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))


@contextmanager
def gone(path: Path, master: Master) -> Iterator[None]:
    kept = path.with_name("kept")
    path.rename(kept)
    yield
    kept.rename(path)


@contextmanager
def replaced(path: Path, master: Master) -> Iterator[None]:
    kept = path.with_name("kept")
    os.link(path, kept)
    shutil.copyfile(path, path.with_name("copy"))
    path.with_name("copy").rename(path)
    yield
    kept.rename(path)


@contextmanager
def without_wal(path: Path, master: Master) -> Iterator[None]:
    path.with_name(path.name + "-wal").unlink()
    yield


@contextmanager
def without_index(path: Path, master: Master) -> Iterator[None]:
    path.with_name(path.name + "-shm").unlink()
    yield


States = Callable[[Path, Master], Any]


@parametrize_few("state", [locked, full, gone, replaced, without_wal, without_index], quick=2)
def test_no_answered_write_is_lost_on_sqlite(tmp_path: Path, state: States) -> None:
    place = SqlitePlace(tmp_path)
    master = Master(tmp_path, url=place.url)
    with master.start():
        writer = master.child("writer").pid
        with writing(master) as author:
            with state(place.path, master):
                wait_until(lambda: len(author.refused) >= REFUSALS, 20, "refusals")
                if state not in (without_wal, without_index):  # these it mends at once
                    wait_until(lambda: is_down(master), 10, "the status says so")
                    assert status(master)["alarms"]
            enough = len(author.done) + WRITES_AFTER
            wait_until(lambda: len(author.done) >= enough, 20, "writes again")
        wait_until(lambda: is_well(master), 10, "all is well")
        assert {line.split(" ", 1)[0] for line in author.refused} == {"MASTERDOWN"}
        assert master.child("writer").pid == writer, "the writer was killed"
        check_after_a_crash(master, author)


def test_a_damaged_file_is_served_on_and_mended(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path)
    master = Master(tmp_path, url=place.url)
    with master.start():
        with writing(master) as author:
            pass
        master.kill()
        backup = sqlite3.connect(place.path)
        backup.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        backup.close()
        content = place.path.read_bytes()
        place.path.write_bytes(b"garbage " * 4096)
        master.start()
        writer = master.child("writer").pid
        wait_until(lambda: is_down(master), 10, "the status says so")
        assert "database lost" in str(status(master)["alarms"])
        author_too = Author(master, "refused")
        author_too.start()
        wait_until(lambda: len(author_too.refused) >= REFUSALS, 5, "refusals at once")
        author_too.stop()
        assert "MASTERDOWN the database is not there: " in author_too.refused[0]
        verified = master.cli("verify")
        assert verified.returncode != 0
        assert "not there" in verified.stderr + verified.stdout
        with master.client() as client, pytest.raises(redis.ResponseError, match="not there"):
            client.execute_command("CFG.HISTORY")
        check(master, author)
        place.path.write_bytes(content)
        wait_until(lambda: is_well(master), 20, "it is mended")
        assert master.child("writer").pid == writer
        check_after_a_crash(master, author)


@parametrize_few("is_empty", [False, True], quick=1)
def test_a_start_keeps_the_last_copy(tmp_path: Path, is_empty: bool) -> None:
    place = SqlitePlace(tmp_path)
    master = Master(tmp_path, url=place.url)
    with master.start():
        with writing(master) as author:
            pass
        master.kill()
        place.back_up()
        for file in place.files():
            file.unlink()
        if is_empty:
            place.path.write_bytes(b"")
        for _ in range(2):
            assert master.process is not None
            master.start(ready=False)
            assert master.process.wait(20) == EXIT_REFUSED, master.log_text()
            assert "begin anew with --forget-memory" in master.log_text()
        place.put_back()
        master.start()
        check(master, author)
        master.kill()
        for file in place.files():
            file.unlink()
        master.extra = ("--forget-memory",)
        master.start()
        with master.client() as client:
            assert client.get(f"CfgSkill:{min(author.done.values())}") is None


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL whose commits reach the disk."""
    with Postgres(fsync=True) as found:
        yield found


@contextmanager
def paused(server: Postgres, master: Master) -> Iterator[None]:
    server.pause()
    yield
    server.resume()


@contextmanager
def killed(server: Postgres, master: Master) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def cut_off(server: Postgres, master: Master) -> Iterator[None]:
    """All sessions end, and no new ones are taken, as while another server takes over."""
    name = master.url.split("@/")[1].split("?")[0]
    server.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    server.cut_off(name)
    yield
    server.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")


@pytest.mark.needs("postgres")
@parametrize_few("state", [paused, killed, cut_off], quick=1)
def test_no_answered_write_is_lost_on_postgresql(
    server: Postgres, tmp_path: Path, state: Callable[[Postgres, Master], Any]
) -> None:
    master = Master(tmp_path, url=server.new_url())
    with master.start():
        writer = master.child("writer").pid
        with writing(master) as author:
            with state(server, master):
                wait_until(lambda: len(author.refused) >= REFUSALS, 20, "refusals")
                wait_until(lambda: is_down(master), 10, "the status says so")
            enough = len(author.done) + WRITES_AFTER
            wait_until(lambda: len(author.done) >= enough, 20, "writes again")
        wait_until(lambda: is_well(master), 10, "all is well")
        assert {line.split(" ", 1)[0] for line in author.refused} <= {
            "MASTERDOWN",
            "UNKNOWNOUTCOME",
        }
        assert master.child("writer").pid == writer, "the writer was killed"
        check_after_a_crash(master, author)


@pytest.mark.long
@pytest.mark.needs("postgres")
def test_a_held_head_row_does_not_kill_the_writer(server: Postgres, tmp_path: Path) -> None:
    master = Master(tmp_path, url=server.new_url())
    with master.start():
        name = master.url.split("@/")[1].split("?")[0]
        writer = master.child("writer").pid
        authors = [Author(master, f"author {number}") for number in range(AUTHORS_AT_A_LOCK)]
        for one in authors:
            one.start()
        wait_until(lambda: all(len(one.done) >= 2 for one in authors), 30, "writes")
        server.execute(
            f"BEGIN; SELECT * FROM head FOR UPDATE; SELECT pg_sleep({HEAD_LOCK_SECONDS}); COMMIT",
            name,
        )
        before = {one.name: len(one.done) for one in authors}
        wait_until(lambda: all(len(one.done) > before[one.name] for one in authors), 20, "writes")
        for one in authors:
            one.stop()
        words = {line.split(" ", 1)[0] for one in authors for line in one.refused}
        assert words == {"MASTERDOWN"}
        assert master.child("writer").pid == writer, "the writer was killed"
        assert "51317" not in master.log_text(), "the server answered all the time"
        for one in authors:
            check(master, one)
