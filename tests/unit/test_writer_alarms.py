"""Raises the alarms of memory: held back past the limit, and full; each ends for its own reason."""

from __future__ import annotations

import logging

import pytest

from csp.store.alarms import ALARM_DAMAGED, ALARM_FULL, ALARM_HELD, raise_alarm, raised
from csp.store.host import Levels, Pin
from csp.writer.alarms import (
    LEVEL_CHECKS,
    QUIET_CHECKS,
    ROOM_BYTES_MORE,
    HeldAlarm,
    LevelAlarms,
    StoreAlarm,
)
from tests.unit.fake_flags import FakeFlags


class Memory(FakeFlags):
    """Where alarms are shown, who holds memory, and how much is left."""

    refused_full = 0
    refused_room_bytes = 0
    room = 0

    def __init__(self) -> None:
        raise_alarm(self, ALARM_DAMAGED, "51324", reason="a test")
        self.held: list[Pin] = []

    def pins(self) -> list[Pin]:
        return self.held

    def pending_bytes(self) -> int:
        return 4711

    def room_bytes(self) -> int:
        return self.room

    def held_words(self) -> str:
        return ""


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    """Numbers and fields of what was logged since the last look."""
    found = [(vars(line)["event"], vars(line)["fields"]) for line in caplog.records]
    caplog.clear()
    return found


def test_a_worker_that_stands_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    memory = Memory()
    caplog.clear()
    alarm = HeldAlarm(memory, memory)
    memory.held = [Pin(3, "worker 3 (pid 77)", 2_900)]
    alarm.check()
    assert told(caplog) == []
    memory.held = [Pin(3, "worker 3 (pid 77)", 3_100)]
    alarm.check()
    alarm.check()
    fields = {"holder": "worker 3 (pid 77)", "held_ms": 3_100, "bytes": 4711}
    assert told(caplog) == [("51322", fields)]
    assert memory.names() == ["damaged record", "memory held back"]
    shown = raised(memory)[-1]
    assert shown.text.startswith("memory is held back: worker 3 (pid 77) has read one revision")
    assert shown.since_ms > 0
    memory.held = []
    alarm.check()
    ((number, over),) = told(caplog)
    assert (number, list(over)) == ("51323", ["elapsed_ms"])
    assert memory.names() == ["damaged record"]


def test_a_guest_may_stand_for_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    memory = Memory()
    caplog.clear()
    alarm = HeldAlarm(memory, memory)
    memory.held = [Pin(60, "a guest in slot 60 (pid 7)", 60_500)]
    alarm.check()
    assert told(caplog) == []
    memory.held = [Pin(60, "a guest in slot 60 (pid 7)", 61_500), Pin(1, "worker 1 (pid 8)", 3_500)]
    alarm.check()
    assert told(caplog)[0][1]["holder"] == "a guest in slot 60 (pid 7)"


def test_a_successor_takes_back_what_its_predecessor_raised() -> None:
    memory = Memory()
    raise_alarm(memory, ALARM_HELD, holder="worker 3 (pid 77)", held_ms=3_100, bytes=1)
    HeldAlarm(memory, memory).check()
    assert memory.names() == ["damaged record"]


def test_a_full_store_stays_so_through_a_writers_death(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    memory = Memory()
    alarm = StoreAlarm(memory, memory)
    memory.room = memory.refused_room_bytes = 3_859_712
    memory.refused_full = 1
    alarm.check()
    assert memory.names() == ["store full", "damaged record"]
    # The successor has refused nothing yet, and has no more room than there was.
    memory.refused_full = memory.refused_room_bytes = 0
    caplog.clear()
    successor = StoreAlarm(memory, memory)
    for _ in range(2 * QUIET_CHECKS):
        successor.check()
    assert (memory.names(), told(caplog)) == (["store full", "damaged record"], [])
    memory.room += ROOM_BYTES_MORE
    successor.check()
    assert memory.names() == ["damaged record"]
    assert [number for number, _ in told(caplog)] == ["51311"]
    assert ALARM_FULL.over == "51311"


class Filling:
    """A store at the levels that a test says."""

    def __init__(self) -> None:
        self.now: Levels | None = Levels(900, 1_000, 0, 1, 600_000)

    def levels(self) -> Levels | None:
        return self.now


def looked(alarms: LevelAlarms) -> None:
    for _ in range(LEVEL_CHECKS):
        alarms.check()


def test_a_store_is_said_to_be_nearly_full_before_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    flags, store = FakeFlags(), Filling()
    alarms = LevelAlarms(flags, store, lambda: 700_000)
    looked(alarms)
    assert flags.names() == []
    for room, names in ((99, ["store nearly full"]), (149, ["store nearly full"]), (150, [])):
        store.now = Levels(room, 1_000, 0, 1, 600_000)
        looked(alarms)
        assert flags.names() == names, room
    assert [number for number, _ in told(caplog)] == ["51326", "51327"]
    store.now = None
    looked(alarms)


def test_a_log_that_lost_young_entries_is_too_small_until_it_reaches_back_again() -> None:
    flags, store, now = FakeFlags(), Filling(), 1_000_000
    alarms = LevelAlarms(flags, store, lambda: now)
    store.now = Levels(900, 1_000, 0, 999_000, 600_000)
    looked(alarms)
    assert flags.names() == [], "a server that was just loaded has a short log"
    store.now = Levels(900, 1_000, 5, 400_000, 600_000)
    looked(alarms)
    assert flags.names() == [], "old enough entries may leave"
    store.now = Levels(900, 1_000, 6, 970_000, 600_000)
    looked(alarms)
    (alarm,) = raised(flags)
    assert alarm.text == (
        "the change log is too small: it reaches back 30000 ms, 600000 ms are promised"
    )
    now = 1_500_000
    looked(alarms)
    assert flags.names() == ["change log too small"]
    now = 1_570_000
    looked(alarms)
    assert flags.names() == []
