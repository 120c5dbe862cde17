"""Databases of every released form come up to the present one with all their rows."""

from __future__ import annotations

import shutil
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import select

from csp.errors import BadValue
from csp.master import migrations, schema
from csp.master import upgrade as upgrade_module
from csp.master.database import Database
from csp.master.entries import entries_page
from csp.master.upgrade import version_of
from csp.model.entry import mark_of, revision_of, why_not_continues
from csp.process.context import StartRefused
from tests.data.schema.dump import WRITE_ID
from tests.neighbours.databases import Place, PostgresPlace, SqlitePlace
from tests.neighbours.postgres import Postgres
from tests.unit.grants_stage import OF_NEW_DATABASE, GrantsStage
from tests.unit.master_stage import Stage

DUMPS = Path(__file__).resolve().parent.parent / "data" / "schema"
RELEASED = sorted({path.name.split(".")[0] for path in DUMPS.glob("*.sql")})
ENTRIES_READ = "0007"  # the first form whose log has entries of this release's form
NEXT = '''
"""Adds a column and fills it from rows."""
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{before}"


def upgrade() -> None:
    op.add_column("objects", sa.Column("bytes", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE objects SET bytes = length(body)")
'''


def test_the_newest_migration_is_the_schemas_version() -> None:
    config = Config()
    config.set_main_option("script_location", "csp.master:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == schema.VERSION


def test_there_is_a_dump_of_the_present_form() -> None:
    """See tests/data/schema/dump.py."""
    for kind in ("sqlite", "postgresql"):
        assert (DUMPS / f"{schema.VERSION}.{kind}.sql").exists()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A database without tables."""
    if request.param == "sqlite":
        return SqlitePlace(tmp_path)
    return PostgresPlace(request.getfixturevalue("postgres"), "template0")


def play_back(place: Place, form: str) -> None:
    """Makes the database what the dump holds."""
    if isinstance(place, SqlitePlace):
        connection = sqlite3.connect(place.path)
        connection.executescript((DUMPS / f"{form}.sqlite.sql").read_text())
        connection.close()
    else:
        assert isinstance(place, PostgresPlace)
        text = (DUMPS / f"{form}.postgresql.sql").read_text()
        with place.server.connect(place.name) as plain:
            plain.execute(text.encode())


def opened(place: Place) -> Database:
    database = Database(place.url)
    if database.file is not None:
        database.file.create()
    return database


def version(place: Place) -> str | None:
    database = opened(place)
    try:
        with database.connection.begin():
            return version_of(database.connection)
    finally:
        database.close()


def test_a_database_is_migrated_once(empty: Place) -> None:
    for expected in (None, schema.VERSION):
        assert version(empty) == expected
        database = opened(empty)
        database.migrate()
        database.close()
    assert version(empty) == schema.VERSION


@pytest.mark.parametrize("form", RELEASED)
def test_every_released_form_comes_up_with_its_rows(empty: Place, form: str) -> None:
    play_back(empty, form)
    assert version(empty) == form
    stage = Stage(empty)
    assert version(empty) == schema.VERSION
    assert stage.object("CfgSkill", 101)["name"] == "Čeština"
    assert stage.host.image(13, 102) is None
    person = stage.object("CfgPerson", 101)
    assert person["agentInfo"]["skillLevels"] == [{"skillDBID": 101, "level": 3}]
    hashed = stage.origin.database.account(3, 101)
    assert hashed is not None
    assert (hashed.algorithm, hashed.hash) == ("imported-1", "0a1b")
    assert stage.origin.database.referrers(13, 101, 10) == [(3, 101)]
    assert stage.outcome(WRITE_ID) == f"committed {stage.object('CfgSkill', 103)['revision']}"
    log = stage.host.entries
    if form < ENTRIES_READ:
        text = "older entries count as gone; the first token keys and grants are entries"
        assert len(log) <= 2, text
    for before, entry in pairwise(log):
        assert why_not_continues(entry, mark_of(before)) is None
    last = stage.host.mark
    stage.create("CfgSkill", tenantDBID=1, name="next")
    assert why_not_continues(stage.host.entries[-1], last) is None
    assert stage.refused("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "last"}).startswith(
        "UNIQUE"
    )
    assert stage.create("CfgSkill", tenantDBID=1, name="gone") == 105
    stage.close()


@pytest.mark.parametrize("form", [form for form in RELEASED if form < "0007"])
def test_a_database_without_grants_gets_those_of_a_new_one_once(empty: Place, form: str) -> None:
    play_back(empty, form)
    stage = GrantsStage(empty)
    assert stage.all_grants() == OF_NEW_DATABASE
    assert stage.stored_grants() == OF_NEW_DATABASE
    revision = stage.revoke("CfgTenant:1", "SYSTEM")
    left = stage.all_grants()
    stage.load_again()
    assert stage.all_grants() == left
    assert stage.host.published == revision
    stage.close()


def test_a_page_of_entries_begins_where_they_can_be_read(tmp_path: Path) -> None:
    """Those of an older release are gone to who asks; the page says what there is."""
    place = SqlitePlace(tmp_path)
    play_back(place, "0006")
    stage = Stage(place)
    stage.create("CfgSkill", tenantDBID=1, name="next")
    newest = stage.host.published
    connection = stage.origin.database.connection
    gone = entries_page(connection, 2)
    assert gone.entries == []
    page = entries_page(connection, gone.oldest)
    assert [revision_of(one) for one in page.entries] == list(range(gone.oldest, newest + 1))
    assert page.entries
    stage.close()


def test_a_step_runs_over_rows(
    empty: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A made-up next form: the newest released one goes up to it, once, and is served."""
    play_back(empty, RELEASED[-1])
    folder = tmp_path / "migrations"
    shutil.copytree(str(migrations.__path__[0]), folder)
    (folder / "versions" / "v9999_test.py").write_text(NEXT.format(before=schema.VERSION))
    monkeypatch.setattr(upgrade_module, "MIGRATIONS", str(folder))
    monkeypatch.setattr(schema, "VERSION", "9999")
    for _ in range(2):
        stage = Stage(empty)
        stage.close()
    assert version(empty) == "9999"
    database = opened(empty)
    with database.reading() as connection:
        found = connection.exec_driver_sql("SELECT bytes, body FROM objects").all()
    database.close()
    assert found
    assert all(size == len(body) for size, body in found)


def test_tables_of_a_newer_csp_are_refused(empty: Place) -> None:
    stage = Stage(empty)
    stage.close()
    database = opened(empty)
    with database.connection.begin():
        database.connection.execute(schema.versions.update().values(version_num="9999"))
    with pytest.raises(BadValue, match=r"form 9999, made by a newer csp; .* up to 0"):
        database.migrate()
    with database.reading() as connection:
        assert connection.execute(select(schema.versions.c.version_num)).scalar() == "9999"
    database.close()
    with pytest.raises(StartRefused, match="newer csp") as refused:
        Stage(empty)
    assert refused.value.exit_code == 2


def test_a_database_that_is_not_utf8_is_refused(postgres: Postgres) -> None:
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' "
                     "TEMPLATE template0")  # fmt: skip
    with pytest.raises(StartRefused, match="encoding is LATIN1, csp needs UTF8"):
        Stage(postgres.url("latin"))
