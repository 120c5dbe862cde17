"""The records of sessions: written beside the configuration, let go in time, lost aloud."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import orjson
import pytest

from csp.master import session_log
from csp.master.retention import Limits
from csp.model.sessions import SessionsPage, SessionsQuestion, batch_of
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    found = Stage(place)
    yield found
    found.close()


def note(stage: Stage, *times: int, account: int = 100) -> None:
    rows = [{"time": at, "what": "sign-in", "account": f"CfgPerson:{account}"} for at in times]
    stage.origin.note_sessions(batch_of(rows))


def page(stage: Stage, **question: int) -> SessionsPage:
    *_, found = stage.records.sessions(SessionsQuestion(**question))
    assert found is not None
    return found


def times(stage: Stage, **question: int) -> list[int]:
    return [orjson.loads(one)["time"] for one in page(stage, **question).records]


def rename(stage: Stage, old: str, new: str) -> None:
    connection = stage.origin.database.connection
    with connection.begin():
        connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")


def test_they_are_written_in_the_next_tick_and_move_no_head(stage: Stage) -> None:
    before = stage.host.published
    note(stage, 1, 2, 3)
    assert times(stage) == []
    stage.origin._sessions.write(stage.origin.database)
    note(stage, 4)
    stage.origin._sessions.write(stage.origin.database)
    assert times(stage) == [1, 2, 3, 4]
    assert stage.origin.engine.revision == stage.host.published == before
    stage.close()
    stage.origin = stage.open()
    note(stage, 5)
    stage.origin._sessions.write(stage.origin.database)
    assert times(stage, since_ms=3) == [3, 4, 5]


def test_pages_end_between_times_and_lose_none(stage: Stage) -> None:
    note(stage, 1, 2, 2, 2, 3, 4)
    note(stage, 2, account=7)
    stage.origin._sessions.write(stage.origin.database)
    first = page(stage, limit=2)
    assert (len(first.records), first.following) == (5, 3)
    assert times(stage, since_ms=3, limit=3) == [3, 4]
    assert page(stage, since_ms=3, limit=3).following == 0
    assert times(stage, account=7) == [2]


def test_old_ones_go(stage: Stage) -> None:
    note(stage, 1_000, 2_000, 90_000_000)
    stage.origin._sessions.write(stage.origin.database)
    stage.origin.retention.limits = Limits(session_age_ms=1_000)
    stage.origin.retention.step(stage.origin.database.connection, 90_000_500)
    assert times(stage) == [90_000_000]


def test_what_the_database_refuses_is_lost_aloud_and_service_goes_on(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    rename(stage, "session_log", "away")
    note(stage, 1)
    with caplog.at_level(logging.WARNING):
        stage.origin._sessions.write(stage.origin.database)
    rename(stage, "away", "session_log")
    assert "1 records of sessions were not written" in caplog.text
    stage.create("CfgSkill", tenantDBID=1, name="after")


def test_what_waits_is_bounded(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_log, "WAITING_MAX", 2)
    note(stage, 1, 2, 3)
    with caplog.at_level(logging.WARNING):
        stage.origin._sessions.write(stage.origin.database)
    assert "1 records of sessions were not written: 2 wait already" in caplog.text
    assert times(stage) == [1, 2]
