"""What a master meets in its database: long and odd names, locked or removed files, full disks."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.errors import BadValue
from csp.master import sqlite
from csp.master.dialect import open_engine
from csp.master.patience import Turn
from tests.effort import parametrize_few
from tests.neighbours.databases import Place, PostgresPlace, SqlitePlace
from tests.unit.master_stage import Stage

LONG = "".join(chr(0x20000 + number * 7919 % 40_000) for number in range(256))


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    found = Stage(place)
    yield found
    found.close()


def skill(name: str) -> tuple[object, ...]:
    return ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": name})


def test_the_longest_names_fit_into_the_index(stage: Stage) -> None:
    """Four bytes a character, and nothing that could be compressed."""
    for number in (0, 1):
        name = LONG[number : number + 255]
        assert stage.write(*skill(name)).error is None
        assert stage.refused(*skill(name)).startswith("UNIQUE")
        assert stage.object("CfgSkill", 101 + number)["name"] == name


@parametrize_few("pair", [("a", "A"), ("ä", "a\u0308"), ("ß", "ss"), ("a", "a ")], quick=2)
def test_names_compare_byte_by_byte(stage: Stage, pair: tuple[str, str]) -> None:
    for name in pair:
        assert stage.write(*skill(name)).error is None
    for name in pair:
        assert stage.refused(*skill(name)).startswith("UNIQUE")


def test_what_a_database_could_not_keep_is_refused_before_it(stage: Stage) -> None:
    assert stage.refused(*skill("a\0b")).startswith("BADVALUE")
    lone = b'{"tenantDBID":1,"name":"\\ud800"}'
    assert stage.refused("CFG.CREATE", "CfgSkill", lone).startswith("BADVALUE")
    for name in ("100 % %s %(name)s :name ?", "'; DROP TABLE head; --", "\\x00", "{}[]\"'"):
        dbid = stage.create("CfgSkill", tenantDBID=1, name=name)
        assert stage.object("CfgSkill", dbid)["name"] == name


def test_postgresql_keeps_names_in_the_c_collation_and_commits_to_the_disk(place: Place) -> None:
    if not isinstance(place, PostgresPlace):
        pytest.skip("of PostgreSQL alone")
    place.server.execute(f"ALTER DATABASE {place.name} SET synchronous_commit = off")
    place.server.execute(f"ALTER DATABASE {place.name} SET client_encoding = 'LATIN1'")
    stage = Stage(place)
    with stage.origin.database.connection.begin():
        ask = stage.origin.database.connection.exec_driver_sql
        assert ask("SHOW synchronous_commit").scalar() == "on"
        assert ask("SHOW client_encoding").scalar() == "UTF8"
        collations = ask(
            "SELECT collation_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND table_name = 'unique_names' AND data_type = 'text'"
        ).all()
        assert [one[0] for one in collations] == ["C", "C"]
    stage.close()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("postgresql+asyncpg://u:open-sesame@h/d", r"postgresql\+psycopg only"),
        ("mysql://u:open-sesame@h/d", "sqlite or postgresql"),
        ("postgresql://u:open-sesame@h:port/d", "no address such as"),
    ],
)
def test_an_address_is_refused_without_its_password(address: str, says: str) -> None:
    with pytest.raises(BadValue, match=says) as refused:
        open_engine(address, Turn())
    assert "open-sesame" not in str(refused.value)


# -- SQLite ------------------------------------------------------------------------------------


def test_a_locked_file_is_waited_for_with_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 200)
    stage = Stage(tmp_path)
    other = sqlite3.connect(tmp_path / "master.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    line = stage.refused(*skill("English"))
    assert line == "MASTERDOWN the database can't take the change: database is locked"
    other.execute("ROLLBACK")
    assert stage.create("CfgSkill", tenantDBID=1, name="English") == 101
    stage.close()
    other.close()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_nothing_is_written_into_a_removed_file(tmp_path: Path, is_replaced: bool) -> None:
    place = SqlitePlace(tmp_path)
    stage = Stage(place)
    place.back_up()
    for file in place.files():
        file.unlink()
    if is_replaced:
        place.path.write_bytes(b"")
    for _ in range(2):
        line = stage.refused(*skill("English"))
        assert line.startswith(f"MASTERDOWN the database file {place.path} ")
        assert ("was removed or replaced" if is_replaced else "is not there") in line
    stage.origin.tick(1_000_000)  # the tidying does not stumble over it either
    stage.close()
    place.put_back()
    stage.origin = stage.open()
    assert stage.create("CfgSkill", tenantDBID=1, name="English") == 101
    stage.close()


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.unit.master_stage import Stage
stage = Stage(Path(sys.argv[1]))
sections = {f"section {number}": {"text": "x" * 250} for number in range(2000)}
skill = {"tenantDBID": 1, "name": "big", "userProperties": sections}
create = ("CFG.CREATE", "CfgSkill", skill)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = max(file.stat().st_size for file in Path(sys.argv[1]).iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, resource.RLIM_INFINITY))
before = stage.host.published
print(stage.write(*create).error.line)
assert stage.host.published == before
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(stage.write(*create).revision - before)
"""


def test_a_file_that_can_not_grow_refuses_the_write_and_recovers(tmp_path: Path) -> None:
    """A limit of the file's size stands for a full disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    refused, taken = done.stdout.splitlines()
    assert refused.startswith("MASTERDOWN the database can't take the change: ")
    assert taken == "1"


def test_a_commit_that_returned_is_on_the_disk(tmp_path: Path) -> None:
    """SQLite's own word for it; NORMAL would lose the last commits with the machine's power."""
    stage = Stage(tmp_path)
    for connection in (stage.origin.database.connection, stage.origin.database.quick):
        plain = connection.connection.driver_connection
        assert plain is not None
        assert plain.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    stage.close()
