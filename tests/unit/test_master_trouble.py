"""A master whose SQLite files are removed, replaced, damaged or locked: nothing is lost unsaid."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from csp.exits import EXIT_REFUSED, EXIT_USAGE
from csp.master import database
from csp.master.patience import ONE_WAIT_SECONDS_MAX, SILENCE_SECONDS_MAX
from csp.model.requests import parse_question, parse_request
from csp.process.context import StartRefused
from csp.store.alarms import ALARM_DATABASE, ALARM_DATABASE_FAILS
from csp.store.control import LINK_DATABASE, LINK_DOWN
from tests.neighbours.databases import SqlitePlace
from tests.neighbours.waiting import wait_until
from tests.unit.master_stage import ASKS, Stage, known

AT_ONCE_SECONDS = 0.5


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    found = Stage(SqlitePlace(tmp_path))
    found.create("CfgSkill", tenantDBID=1, name="first")
    yield found
    found.close()


def path_of(stage: Stage) -> Path:
    assert isinstance(stage.place, SqlitePlace)
    return stage.place.path


def skill(name: str) -> tuple[object, ...]:
    return ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": name})


def turn(stage: Stage) -> None:
    stage.origin.watches()
    stage.origin.tick(time.monotonic_ns() // 1_000_000)


def until(stage: Stage, condition: Callable[[], bool], what: str) -> None:
    def is_so() -> bool:
        turn(stage)
        return condition()

    wait_until(is_so, 10, what)


def is_down(stage: Stage) -> bool:
    return stage.host.link[0] == LINK_DOWN and bool(stage.host.alarms)


def is_well(stage: Stage) -> bool:
    return stage.host.link[0] == LINK_DATABASE and not stage.host.alarms


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    shutil.copyfile(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").rename(path)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"garbage " * 2048)


def wal_removed(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def index_removed(path: Path) -> None:
    path.with_name(path.name + "-shm").unlink()


def test_another_program_that_reads_the_database_takes_nothing_away(stage: Stage) -> None:
    """As a backup does, and as the reading process: the last one to close removes the WAL."""
    path = path_of(stage)
    stage.create("CfgSkill", tenantDBID=1, name="third")
    stage.origin.retention._stepped_ms = 0
    turn(stage)  # the file was looked at
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        "print(c.execute('select count(*) from head').fetchone()); c.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "(1,)\n", done.stderr
    assert path.with_name(path.name + "-wal").stat().st_size > 0
    stage.create("CfgSkill", tenantDBID=1, name="second")
    assert not stage.host.alarms


@pytest.mark.parametrize("harm", [removed, replaced, emptied, cut_off, overwritten])
def test_a_file_that_was_harmed_is_noticed_without_a_write(
    stage: Stage, harm: Callable[[Path], None]
) -> None:
    path = path_of(stage)
    other = sqlite3.connect(path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    turn(stage)
    harm(path)
    stage.origin.retention._stepped_ms = 0
    turn(stage)
    assert is_down(stage)
    for _ in range(3):
        began = time.monotonic()
        assert stage.refused(*skill("second")).startswith("MASTERDOWN the database is not there: ")
        assert time.monotonic() - began < AT_ONCE_SECONDS
    assert stage.object("CfgSkill", 101)["name"] == "first"
    assert list(stage.host.alarms) == [ALARM_DATABASE.name]
    # The writer is restarted, once and again: it serves on, and makes no new file.
    for _ in range(2):
        stage.close()
        stage.origin = stage.open()
        if harm is not replaced:
            assert is_down(stage)
            assert stage.refused(*skill("second")).startswith("MASTERDOWN")
            assert path.exists() == (harm is not removed)
    assert stage.host.loads == 1


@pytest.mark.parametrize("harm", [removed, replaced])
def test_a_file_that_is_put_back_is_written_again(
    stage: Stage, harm: Callable[[Path], None], tmp_path: Path
) -> None:
    path = path_of(stage)
    os.link(path, tmp_path / "kept")
    harm(path)
    assert stage.refused(*skill("second")).startswith("MASTERDOWN the database file ")
    assert is_down(stage)
    (tmp_path / "kept").rename(path)
    until(stage, lambda: is_well(stage), "the file is back")
    assert stage.create("CfgSkill", tenantDBID=1, name="second") == 102
    assert stage.host.loads == 1


@pytest.mark.parametrize("harm", [wal_removed, index_removed])
def test_a_lost_wal_loses_no_answered_write(
    stage: Stage, harm: Callable[[Path], None], tmp_path: Path
) -> None:
    path = path_of(stage)
    harm(path)
    assert "was removed or replaced under the running" in stage.refused(*skill("second"))
    assert is_down(stage)
    until(stage, lambda: is_well(stage), "SQLite's files are whole again")
    assert stage.create("CfgSkill", tenantDBID=1, name="second") == 102
    # What a crash would leave:
    for file in stage.place.files():
        shutil.copyfile(file, tmp_path / file.name.replace("master", "crashed"))
    copy = sqlite3.connect(tmp_path / "crashed.db")
    assert copy.execute("SELECT revision FROM head").fetchone() == (stage.host.published,)
    copy.close()


def test_a_damaged_file_is_served_on_from_memory_after_a_start(stage: Stage) -> None:
    stage.close()
    path = path_of(stage)
    content = path.read_bytes()
    overwritten(path)
    stage.host.fence = 0  # a start of the whole server
    stage.origin = stage.open()
    assert is_down(stage)
    assert list(stage.host.alarms) == [ALARM_DATABASE.name]
    for _ in range(5):
        turn(stage)
        assert "file is not a database" in stage.refused(*skill("second"))
    path.write_bytes(content)
    until(stage, lambda: is_well(stage), "it is mended")
    assert stage.create("CfgSkill", tenantDBID=1, name="second") == 102
    assert stage.host.loads == 1


@pytest.mark.parametrize("harm", [removed, emptied])
def test_a_start_puts_no_new_database_in_the_place_of_what_survived(
    stage: Stage, harm: Callable[[Path], None]
) -> None:
    stage.close()
    harm(path_of(stage))
    stage.host.fence = 0
    for _ in range(2):
        with pytest.raises(StartRefused, match="would begin a new stream") as refused:
            stage.open()
        assert refused.value.exit_code == EXIT_REFUSED
        assert f"stream {stage.host.stream.hex()} at revision 2" in str(refused.value)
        assert path_of(stage).exists() == (harm is emptied)
    assert stage.host.loads == 1
    stage.host.stream = b""  # forgotten
    stage.origin = stage.open()
    assert stage.host.published == 1


def test_another_database_is_not_taken_by_a_restarted_writer(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Stage(SqlitePlace(tmp_path / "other"))
    other.close()
    stage.close()
    shutil.copyfile(path_of(other), path_of(stage))
    stage.origin = stage.open()
    assert is_down(stage)
    assert f"stream {other.host.stream.hex()}" in stage.refused(*skill("second"))
    assert stage.host.loads == 1
    stage.close()
    stage.host.fence = 0  # the operator's word
    stage.origin = stage.open()
    assert stage.host.stream == other.host.stream


def test_a_first_start_without_a_readable_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "master.db").write_bytes(b"garbage " * 2048)
    with pytest.raises(StartRefused, match="file is not a database") as refused:
        Stage(tmp_path)
    assert refused.value.exit_code == EXIT_USAGE


def test_a_lock_is_waited_for_once_a_turn(stage: Stage) -> None:
    """However many ask, and the tidying too: the supervisor would call the writer hung."""
    requests = []
    for number in range(6):
        text = b'{"tenantDBID":1,"name":"skill %d"}' % number
        requests.append(parse_request(1, ASKS, b"", b"one", [[b"CFG.CREATE", b"CfgSkill", text]]))
    other = sqlite3.connect(path_of(stage), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        began = time.monotonic()
        stage.origin.watches()
        asked = parse_question(1, ASKS, b"never heard of")
        outcomes = [known(one) for one in stage.origin.write([*requests, asked])]
        outcomes += [known(one) for one in stage.origin.write(requests)]
        stage.origin.retention._stepped_ms = 0
        stage.origin.tick(time.monotonic_ns() // 1_000_000)
        assert ONE_WAIT_SECONDS_MAX - 0.1 < time.monotonic() - began < SILENCE_SECONDS_MAX
        lines = [one.error.line for one in outcomes if one.error is not None]
        together, behind = lines[: len(requests) + 1], lines[len(requests) + 1 :]
        assert [line for line in together if not line.endswith("database is locked")] == []
        assert [line for line in behind if "just waited for in vain" not in line] == []
        assert len(behind) == len(requests)
        assert is_down(stage)
        assert list(stage.host.alarms) == [ALARM_DATABASE_FAILS.name]
    other.execute("ROLLBACK")
    other.close()
    stage.origin.watches()
    assert all(known(one).error is None for one in stage.origin.write(requests))
    assert is_well(stage)


def test_an_older_state_is_told(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    place = stage.place
    stage.close()
    place.back_up()
    stage.origin = stage.open()
    stage.create("CfgSkill", tenantDBID=1, name="second")
    stage.close()
    place.put_back()
    stage.host.fence = 0
    stage.origin = stage.open()
    assert stage.host.published == 2
    stream = stage.host.stream.hex()
    assert f"loaded: stream {stream} revision 2 mark" in caplog.text
    assert f"not stream {stream} revision 3 mark" in caplog.text


def test_a_slow_commit_is_told(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SLOW_COMMIT_MS", 0)
    stage.create("CfgSkill", tenantDBID=1, name="second")
    assert "to commit revision 3; all writes waited for it" in caplog.text
