"""Counts who was turned away over all workers: raised once, over after a quiet minute."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from csp.worker.turned_away import QUIET_CHECKS, TurnedAway
from tests.unit.fake_loop import FakeControl, Server


class Counting(FakeControl):
    """Two workers' counters."""

    def __init__(self) -> None:
        super().__init__()
        self.counters = [{"rejected": 7, "starved": 0}, {"rejected": 0, "starved": 0}]

    def slot_counters(self, slot: int) -> dict[str, int]:
        return self.counters[slot]


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Counting, TurnedAway]:
    server, control = Server(tmp_path), Counting()
    server.lane.control = control
    server.lane.info = dataclasses.replace(server.lane.info, worker_count=2)
    found = TurnedAway(server.lane)
    found.look()  # what an earlier run of the worker counted is no news
    found.look()
    assert control.names() == []
    return control, found


def test_it_is_raised_by_any_worker_and_ends_after_a_quiet_minute(
    watched: tuple[Counting, TurnedAway],
) -> None:
    control, found = watched
    control.counters[1]["rejected"] = 1
    found.look()
    assert control.names() == ["clients refused"]
    for _ in range(QUIET_CHECKS - 1):
        found.look()
    control.counters[0]["rejected"] += 1
    found.look()
    for _ in range(QUIET_CHECKS - 1):
        found.look()
    assert control.names() == ["clients refused"]
    found.look()
    assert control.names() == []


def test_a_worker_that_was_replaced_begins_at_nought(
    watched: tuple[Counting, TurnedAway],
) -> None:
    control, found = watched
    control.counters[0] = {"rejected": 0, "starved": 0}
    found.look()
    assert control.names() == []
    control.counters[0] = {"rejected": 0, "starved": 1}
    found.look()
    assert control.names() == ["clients refused"]
