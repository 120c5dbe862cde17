"""What the master keeps for a time only goes in small steps, and no earlier."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from csp.master import retention
from csp.master.retention import Retention
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    found = Stage(place)
    yield found
    found.close()


def entries(stage: Stage) -> int:
    return len(stage.origin.database.entries_from(1, stage.host.published, 1 << 30))


def test_entries_beyond_the_limit_go_oldest_first(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        stage.create("CfgSkill", tenantDBID=1, name=f"skill {number}")
    newest = len(stage.host.entries[-1]) + len(stage.host.entries[-2])
    monkeypatch.setattr(retention, "ENTRY_BYTES_MAX", newest)
    keeper = Retention()
    assert keeper.step(stage.origin.database.connection, stage.host.time_ms) == 4
    assert keeper.step(stage.origin.database.connection, stage.host.time_ms) == 0
    assert entries(stage) == 2
    assert stage.origin.database.mark_at(2) is not None  # the record of the change stays


def test_entries_and_ids_of_yesterday_go(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "E"}, write_id="w")
    connection = stage.origin.database.connection
    keeper = Retention()
    assert keeper.step(connection, stage.host.time_ms + DAY_MS - 60_000) == 0
    assert stage.outcome("w").startswith("committed")
    assert keeper.step(connection, stage.host.time_ms + DAY_MS + 60_000) == 3
    assert stage.origin.database.write_known(100, "w") is None
    assert entries(stage) == 0


def test_a_step_is_due_once_a_second() -> None:
    keeper = Retention()
    assert [keeper.step_due(at) for at in (5000, 5500, 6000, 6001)] == [True, False, True, False]
