"""A clock that jumps gives no change a wrong time, and makes nothing old."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from csp.master.clock import BELIEVED_AFTER_MS, MasterClock
from csp.store.alarms import ALARM_CLOCK
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage

DAY_MS = 24 * 3600 * 1000
SINCE_BOOT_MS = 5_000_000


class Clocks:
    """The two clocks of a machine."""

    def __init__(self, wall_ms: int) -> None:
        self.wall_ms = wall_ms
        self.steady_ms = SINCE_BOOT_MS

    def wall(self) -> int:
        return self.wall_ms

    def steady(self) -> int:
        return self.steady_ms

    def pass_ms(self, ms: int) -> None:
        self.wall_ms += ms
        self.steady_ms += ms


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    found = Stage(place)
    yield found
    found.close()


@pytest.mark.parametrize("step_ms", [2 * DAY_MS, -2 * DAY_MS])
def test_a_moments_wrong_time_reaches_no_change(step_ms: int) -> None:
    clocks = Clocks(10 * DAY_MS)
    clock = MasterClock(clocks.wall, clocks.steady)
    clocks.pass_ms(1000)
    assert clock.now_ms() == 10 * DAY_MS + 1000
    clocks.wall_ms += step_ms
    for _ in range(3):
        clocks.pass_ms(1000)
        assert clock.now_ms() == clocks.wall_ms - step_ms
    clocks.wall_ms -= step_ms
    clocks.pass_ms(BELIEVED_AFTER_MS)
    assert clock.now_ms() == clocks.wall_ms


def test_a_step_that_lasts_is_believed_but_makes_nothing_old() -> None:
    clocks = Clocks(10 * DAY_MS)
    clock = MasterClock(clocks.wall, clocks.steady)
    clocks.wall_ms += 2 * DAY_MS
    clock.now_ms()
    clocks.pass_ms(BELIEVED_AFTER_MS)
    assert clock.now_ms() == clocks.wall_ms
    assert clock.age_now_ms(10 * DAY_MS) == clocks.wall_ms - 2 * DAY_MS
    clocks.wall_ms -= 30_000  # slewing is no step
    assert clock.now_ms() == clocks.wall_ms
    assert clock.age_now_ms(clocks.wall_ms + DAY_MS) is None


def test_a_clock_two_days_ahead_takes_no_outcome_away(stage: Stage) -> None:
    origin = stage.origin
    clocks = Clocks(stage.host.time_ms)
    origin.clock = MasterClock(clocks.wall, clocks.steady)
    origin.engine.clock_ms = origin.clock.now_ms
    stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "E"}, write_id="w")
    clocks.wall_ms += 2 * DAY_MS
    tick_ms = 1_000_000
    for _ in range(5):
        clocks.pass_ms(1000)
        tick_ms += 1000
        origin.tick(tick_ms)
        assert ALARM_CLOCK.name in stage.host.alarms
        stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": f"E {tick_ms}"})
        assert stage.host.time_ms <= clocks.wall_ms - 2 * DAY_MS
    clocks.pass_ms(BELIEVED_AFTER_MS)  # it stays so: what comes now has that time
    for _ in range(3):
        clocks.pass_ms(1000)
        tick_ms += 1000
        origin.tick(tick_ms)
    assert ALARM_CLOCK.name not in stage.host.alarms
    assert stage.outcome("w") == "committed 2"
    assert stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "F"}).error is None
    clocks.wall_ms -= 2 * DAY_MS  # set right: the last change is ahead of it
    clocks.pass_ms(2 * BELIEVED_AFTER_MS)
    for _ in range(3):
        clocks.pass_ms(BELIEVED_AFTER_MS)
        tick_ms += 1000
        origin.tick(tick_ms)
    assert "the last change has a time of the future" in str(stage.host.alarms[ALARM_CLOCK.name])
    assert stage.outcome("w") == "committed 2"
