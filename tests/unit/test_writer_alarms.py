"""Raises the alarms of memory: held back past the limit, and full; each ends for its own reason."""

from __future__ import annotations

import logging

import pytest

from csp.store.alarms import ALARM_DAMAGED, ALARM_FULL, ALARM_HELD, raise_alarm, raised
from csp.store.host import Pin
from csp.writer.alarms import QUIET_CHECKS, ROOM_BYTES_MORE, HeldAlarm, StoreAlarm
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
    memory.held = [Pin(51, "a guest in slot 51 (pid 7)", 60_500)]
    alarm.check()
    assert told(caplog) == []
    memory.held = [Pin(51, "a guest in slot 51 (pid 7)", 61_500), Pin(1, "worker 1 (pid 8)", 3_500)]
    alarm.check()
    assert told(caplog)[0][1]["holder"] == "a guest in slot 51 (pid 7)"


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
