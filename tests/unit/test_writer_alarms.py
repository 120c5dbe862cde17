"""Holds an announcement past its limit: the alarm names the holder once, and ends with it."""

from __future__ import annotations

import logging

import pytest

from csp.store.control import ALARM_DAMAGED, ALARM_HELD, alarm_words
from csp.store.host import Pin
from csp.writer.alarms import HeldAlarm


class Memory:
    """Where alarms are shown, and who holds memory."""

    def __init__(self) -> None:
        self.alarms = ALARM_DAMAGED
        self.held: list[Pin] = []

    def pins(self) -> list[Pin]:
        return self.held

    def pending_bytes(self) -> int:
        return 4711


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    """Numbers and fields of what was logged since the last look."""
    found = [(vars(line)["event"], vars(line)["fields"]) for line in caplog.records]
    caplog.clear()
    return found


def test_a_worker_that_stands_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    memory = Memory()
    alarm = HeldAlarm(memory, memory)
    memory.held = [Pin(3, "worker 3 (pid 77)", 2_900)]
    alarm.check()
    assert told(caplog) == []
    memory.held = [Pin(3, "worker 3 (pid 77)", 3_100)]
    alarm.check()
    alarm.check()
    fields = {"holder": "worker 3 (pid 77)", "held_ms": 3_100, "bytes": 4711}
    assert told(caplog) == [("51322", fields)]
    assert alarm_words(memory.alarms) == "damaged record, memory held back"
    memory.held = []
    alarm.check()
    assert told(caplog) == [("51323", {})]
    assert memory.alarms == ALARM_DAMAGED


def test_a_guest_may_stand_for_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    memory = Memory()
    alarm = HeldAlarm(memory, memory)
    memory.held = [Pin(51, "a guest in slot 51 (pid 7)", 60_500)]
    alarm.check()
    assert told(caplog) == []
    memory.held = [Pin(51, "a guest in slot 51 (pid 7)", 61_500), Pin(1, "worker 1 (pid 8)", 3_500)]
    alarm.check()
    assert told(caplog)[0][1]["holder"] == "a guest in slot 51 (pid 7)"


def test_a_successor_takes_back_what_its_predecessor_raised() -> None:
    memory = Memory()
    memory.alarms |= ALARM_HELD
    HeldAlarm(memory, memory).check()
    assert memory.alarms == ALARM_DAMAGED
