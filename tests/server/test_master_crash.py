"""A master killed at any point of a change leaves the old state or the new one, never a mixture."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import select

from csp.master.commit import FAILPOINTS
from csp.master.database import Database
from csp.master.schema import metadata
from tests.effort import parametrize_few
from tests.neighbours.databases import Place, PostgresPlace, SqlitePlace
from tests.neighbours.postgres import Postgres
from tests.unit.master_stage import Stage

CHILD_SECONDS_MAX = 60
AROUND_THE_COMMIT = (
    "master.after_head",
    "master.before_commit",
    "master.after_commit",
    "master.after_apply",
)
# It runs through every statement: it creates, grants, changes, deletes, sets a password.
CHANGE = """
import sys
from csp.observe import failpoint
from tests.unit.master_stage import Stage
stage = Stage(sys.argv[1])
failpoint.arm({failpoint.VARIABLE: sys.argv[2]})
outcome = stage.exec(
    ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "German"}),
    ("CFG.GRANT", "CfgSkill:@1", "CfgPerson:101", "R,U"),
    ("CFG.GRANT", "CfgTenant:1", "CfgPerson:101", "R,propagate"),
    ("CFG.UPDATE", "CfgPerson", 101, {"changed": {"userName": "anna", "password": "new"}}),
    ("CFG.DELETE", "CfgSkill", 101),
    write_id="change",
)
assert outcome.error is None, outcome
"""


def content(url: str) -> dict[str, list[Any]]:
    """Every row of every table, but for the fence, which each start moves."""
    database = Database(url)
    with database.reading() as connection:
        found = {
            table.name: [
                {name: value for name, value in row._mapping.items() if name != "fence"}
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in metadata.sorted_tables
        }
    database.close()
    return found


def killed_at(url: str, script: str, failpoint: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a script on a database in a process that dies at a failpoint."""
    return subprocess.run(
        [sys.executable, "-c", script, url, failpoint],
        timeout=CHILD_SECONDS_MAX,
        check=False,
        cwd=os.getcwd(),
    )


def without_chance(tables: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Without what differs between two runs of one change: times, salts, what hangs on them."""
    chance = {"time_ms", "mark", "hash", "facts", "entry", "details", "holder", "beat"}
    return {
        name: [{key: value for key, value in row.items() if key not in chance} for row in rows]
        for name, rows in tables.items()
    }


Prepared = tuple[Place, Any, Any]


def prepare(place: Place) -> Prepared:
    """A place with a backup from before the change, its content then and after the change."""
    stage = Stage(place)
    stage.create("CfgSkill", tenantDBID=1, name="English")
    info = {"skillLevels": [{"skillDBID": 101, "level": 3}]}
    stage.create("CfgPerson", tenantDBID=1, userName="ann", employeeID="1", isAgent=True,
                 agentInfo=info, password="old")  # fmt: skip
    assert stage.write("CFG.GRANT", "CfgSkill:101", "SYSTEM", "R").error is None
    stage.close()
    place.back_up()
    before = content(place.url)
    assert run(place.url, "").returncode == 0
    return place, without_chance(before), without_chance(content(place.url))


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(SqlitePlace(tmp_path_factory.mktemp("prepared")))


@pytest.fixture(scope="module")
def on_postgres(postgres: Postgres, template: str) -> Prepared:
    return prepare(PostgresPlace(postgres, template))


def run(url: str, failpoint: str) -> subprocess.CompletedProcess[bytes]:
    return killed_at(url, CHANGE, failpoint)


@parametrize_few(
    "failpoint", sorted(FAILPOINTS, key=lambda one: one not in AROUND_THE_COMMIT), quick=4
)
def test_old_or_new_state(on_sqlite: Prepared, failpoint: str) -> None:
    check_old_or_new(on_sqlite, failpoint)


@pytest.mark.needs("postgres")
@parametrize_few(
    "failpoint",
    ["master.after_head", "master.before_commit", "master.after_commit"],
    quick=1,
)
def test_old_or_new_state_on_postgres(on_postgres: Prepared, failpoint: str) -> None:
    check_old_or_new(on_postgres, failpoint)


def check_old_or_new(prepared: Prepared, failpoint: str) -> None:
    place, before, after = prepared
    place.put_back()
    assert run(place.url, f"{failpoint}=kill").returncode == -signal.SIGKILL
    is_committed = failpoint in ("master.after_commit", "master.after_apply")
    found = without_chance(content(place.url))
    assert found == (after if is_committed else before)
    # And the next master serves it, knows what became of the write, and goes on.
    stage = Stage(place)
    assert stage.outcome("change") == (
        f"committed {stage.host.published}" if is_committed else "rejected"
    )
    assert stage.create("CfgSkill", tenantDBID=1, name="French") == (103 if is_committed else 102)
    stage.close()
