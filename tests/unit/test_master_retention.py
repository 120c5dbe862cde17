"""What the master keeps for a time only goes in small steps, and no earlier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest
from sqlalchemy import func, select

from csp.master import retention, schema
from csp.master.entries import entries_from, mark_at
from csp.master.retention import DAY_MS, Limits, Retention
from csp.model.history import HistoryQuestion
from csp.process.own_options import OwnOptions
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    found = Stage(place)
    yield found
    found.close()


def entries(stage: Stage) -> int:
    with stage.origin.database.reading() as connection:
        return len(entries_from(connection, 1, stage.host.published, 1 << 30))


def records(stage: Stage) -> list[int]:
    with stage.origin.database.reading() as connection:
        column = schema.history.c.revision
        return list(connection.execute(select(column).order_by(column)).scalars())


def counted(stage: Stage) -> tuple[int, int]:
    """The bytes of the log that the head says, and those that there are."""
    with stage.origin.database.reading() as connection:
        said = connection.execute(select(schema.head.c.entry_bytes)).scalar_one()
        there = select(func.coalesce(func.sum(func.length(schema.entries.c.entry)), 0))
        return said, connection.execute(there).scalar_one()


def test_entries_beyond_the_limit_go_oldest_first(stage: Stage) -> None:
    for number in range(5):
        stage.create("CfgSkill", tenantDBID=1, name=f"skill {number}")
    newest = len(stage.host.entries[-1]) + len(stage.host.entries[-2])
    keeper = Retention()
    keeper.limits = Limits(entry_bytes=newest)
    connection = stage.origin.database.connection
    assert keeper.step(connection, stage.host.time_ms) == 4
    assert keeper.step(connection, stage.host.time_ms) == 0
    assert entries(stage) == 2
    assert counted(stage) == (newest, newest)
    assert records(stage) == [1, 2, 3, 4, 5, 6]  # the records of the changes stay
    stage.create("CfgSkill", tenantDBID=1, name="one more")
    again = Retention()  # another start goes on from what the head says
    again.limits = keeper.limits
    assert again.step(connection, stage.host.time_ms) >= 1
    said, there = counted(stage)
    assert said == there <= newest
    with stage.origin.database.reading() as reader:
        assert mark_at(reader, stage.host.published) == stage.host.mark
        assert mark_at(reader, 2) is not None
        assert mark_at(reader, 99) is None


def test_a_gap_ends_what_is_read_of_the_log(stage: Stage) -> None:
    for number in range(3):
        stage.create("CfgSkill", tenantDBID=1, name=f"skill {number}")
    with stage.origin.database.connection.begin():
        stage.origin.database.connection.execute(
            schema.entries.delete().where(schema.entries.c.revision == 2)
        )
    assert entries(stage) == 2


def test_entries_and_ids_go_when_they_are_old(stage: Stage) -> None:
    stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "E"}, write_id="w")
    connection = stage.origin.database.connection
    now_ms = stage.host.time_ms
    keeper = Retention()
    assert keeper.step(connection, now_ms + DAY_MS - 60_000) == 0
    assert stage.outcome("w").startswith("committed")
    assert keeper.step(connection, now_ms + DAY_MS + 60_000) == 1
    assert stage.origin.database.write_known(100, "w") is None
    assert keeper.step(connection, now_ms + 30 * DAY_MS - 60_000) == 0
    assert entries(stage) == 2
    assert keeper.step(connection, now_ms + 30 * DAY_MS + 60_000) == 2
    assert entries(stage) == 0
    assert counted(stage) == (0, 0)
    assert keeper.step(connection, now_ms + 365 * DAY_MS - 60_000) == 0
    assert keeper.step(connection, now_ms + 365 * DAY_MS + 60_000) == 2
    assert records(stage) == []


def test_nothing_is_old_where_the_time_is_in_doubt(stage: Stage) -> None:
    stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "E"}, write_id="w")
    assert Retention().step(stage.origin.database.connection, None) == 0
    assert stage.outcome("w").startswith("committed")


def test_records_beyond_their_number_go_in_steps(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        stage.create("CfgSkill", tenantDBID=1, name=f"skill {number}")
    monkeypatch.setattr(retention, "STEP_ROWS_MAX", 2)
    keeper = Retention()
    keeper.limits = replace(keeper.limits, history_records=3)
    connection = stage.origin.database.connection
    steps = []
    at = 5000
    while keeper.step_due(at):
        steps.append(keeper.step(connection, stage.host.time_ms))
        at += retention.STEP_AGAIN_MS
    assert steps == [2, 2, 1]
    assert records(stage) == [6, 7, 8]
    *_, page = stage.records.history(HistoryQuestion(0, 10))
    assert page is not None
    assert len(page.records) == 3
    assert entries(stage) == 8  # a window of its own


def test_the_applications_options_hold_at_once(stage: Stage) -> None:
    stage.create("CfgSkill", tenantDBID=1, name="one")
    now_ms = 1_000_000
    stage.origin.tick(now_ms)
    assert stage.origin.retention.limits == Limits()
    options = {"history-log": {"audit-max-records": "1", "max-records": "2", "expiration": "3"},
               "csp": {"log-window-max": "5"}}  # fmt: skip
    own = OwnOptions(mode="master", app_name="confserv", values={}, log=None)
    own.on_change(lambda _: stage.origin.take_options(own))
    own.look(orjson.dumps({"options": options}))
    stage.origin.tick(now_ms + 10_000)
    limits = stage.origin.retention.limits
    assert (limits.history_records, limits.entry_age_ms) == (2, 3 * DAY_MS)
    assert limits.entry_bytes == 5 << 20
    assert len(records(stage)) == 2


def test_a_step_is_due_once_a_second() -> None:
    keeper = Retention()
    assert [keeper.step_due(at) for at in (5000, 5500, 6000, 6001)] == [True, False, True, False]
