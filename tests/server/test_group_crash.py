"""A master killed while it commits or publishes a group: all of the group is there, or nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from csp.master.commit import FAILPOINTS
from tests.effort import parametrize_few
from tests.neighbours.databases import Place, PostgresPlace, SqlitePlace
from tests.neighbours.postgres import Postgres
from tests.server.test_master_crash import Prepared, content, killed_at, without_chance
from tests.server.test_master_store import CHILD_SECONDS_MAX, create, open_host, open_origin
from tests.unit.master_stage import Stage

# Four writes; the last two touch again what those before them did, so their rows go in a second
# step: every statement point is passed twice.
GROUP = """
import sys
from csp.observe import failpoint
from tests.unit.master_stage import Stage
stage = Stage(sys.argv[1])
failpoint.arm({failpoint.VARIABLE: sys.argv[2]})
outcomes = stage.group(
    ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "German"}),
    ("CFG.UPDATE", "CfgPerson", 101, {"changed": {"userName": "anna", "password": "new"}}),
    ("CFG.UPDATE", "CfgSkill", 102, {"changed": {"name": "French"}}),
    ("CFG.DELETE", "CfgSkill", 101),
    write_ids=["w1", "w2", "w3", "w4"],
)
assert not [one.error for one in outcomes if one.error], outcomes
"""
ENTRIES = """
import sys
from csp.observe import failpoint
from tests.server.test_master_store import open_host, open_origin, requests_of
host = open_host(sys.argv[1])
origin = open_origin(sys.argv[2], host)
failpoint.arm({failpoint.VARIABLE: sys.argv[3]})
origin.write(requests_of("English", "German", "French"))
"""
IDS = ("w1", "w2", "w3", "w4")
TWICE = FAILPOINTS[
    FAILPOINTS.index("master.after_head") + 1 : FAILPOINTS.index("master.before_commit")
]


def prepare(place: Place) -> Prepared:
    """A place with a backup from before the group, its content then and after the group."""
    stage = Stage(place)
    stage.create("CfgSkill", tenantDBID=1, name="English")
    info = {"skillLevels": [{"skillDBID": 101, "level": 3}]}
    stage.create("CfgPerson", tenantDBID=1, userName="ann", employeeID="1", isAgent=True,
                 agentInfo=info, password="old")  # fmt: skip
    stage.close()
    place.back_up()
    before = content(place.url)
    assert killed_at(place.url, GROUP, "").returncode == 0
    return place, without_chance(before), without_chance(content(place.url))


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(SqlitePlace(tmp_path_factory.mktemp("prepared")))


@pytest.fixture(scope="module")
def on_postgres(postgres: Postgres, template: str) -> Prepared:
    return prepare(PostgresPlace(postgres, template))


@parametrize_few(
    "failpoint",
    ["master.after_head=kill", "master.after_commit=kill", "master.after_apply=kill@3",
     "master.begin=kill", *[f"{name}=kill@2" for name in TWICE]],
    quick=3,
)  # fmt: skip
def test_all_of_a_group_or_nothing(on_sqlite: Prepared, failpoint: str) -> None:
    check_all_or_nothing(on_sqlite, failpoint)


@pytest.mark.needs("postgres")
@parametrize_few(
    "failpoint",
    ["master.before_commit=kill@2", "master.after_head=kill", "master.after_refs=kill@2",
     "master.after_commit=kill"],
    quick=1,
)  # fmt: skip
def test_all_of_a_group_or_nothing_on_postgres(on_postgres: Prepared, failpoint: str) -> None:
    check_all_or_nothing(on_postgres, failpoint)


def check_all_or_nothing(prepared: Prepared, failpoint: str) -> None:
    place, before, after = prepared
    place.put_back()
    assert killed_at(place.url, GROUP, failpoint).returncode == -signal.SIGKILL
    is_committed = failpoint.startswith(("master.after_commit", "master.after_apply"))
    assert without_chance(content(place.url)) == (after if is_committed else before)
    # And the next master says so of each.
    stage = Stage(place)
    last = stage.host.published
    said = [stage.outcome(one) for one in IDS]
    if is_committed:
        assert said == [f"committed {last - 3 + number}" for number in range(4)]
    else:
        assert said == ["rejected"] * 4
    assert stage.create("CfgSkill", tenantDBID=1, name="Dutch") == (103 if is_committed else 102)
    stage.close()


@parametrize_few("entry", [1, 2, 3], quick=1)
def test_a_successor_publishes_what_is_left_of_a_group(
    instance: str, place: Place, entry: int
) -> None:
    """The database has the whole group, the store its first entries."""
    host = open_host(instance)
    open_origin(place.url, host).close()
    host.close()
    child = subprocess.run(
        [sys.executable, "-c", ENTRIES, instance, place.url, f"master.after_apply=kill@{entry}"],
        timeout=CHILD_SECONDS_MAX,
        check=False,
        cwd=Path.cwd(),
    )
    assert child.returncode == -signal.SIGKILL
    host = open_host(instance)
    assert host.published == 1 + entry
    generation = host.control.generation
    origin = open_origin(place.url, host)
    assert host.control.generation == generation  # no reload
    assert host.published == origin.head() == 4
    assert all(host.image(13, dbid) is not None for dbid in (101, 102, 103))
    assert create(origin, "Dutch") == 5
    origin.close()
    host.close()
