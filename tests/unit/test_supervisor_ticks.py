"""The supervisor asks for pulses once a second, also while all are ready and the store is not."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from csp.supervisor import supervise
from csp.supervisor.child import ChildState
from csp.supervisor.supervise import Supervisor
from tests.unit.fake_flags import FakeFlags


class FakePlan:
    """A server with one ready child, whose master has not answered yet."""

    address = "127.0.0.1:1"
    settings = SimpleNamespace(mode="proxy", database_url="", worker_count=1)

    def __init__(self) -> None:
        self.loaded = False
        self.told: list[str] = []
        self.segments = SimpleNamespace(
            drop_aside=lambda: None, control=FakeFlags(), show_link_down=lambda: None
        )
        self.notifier = SimpleNamespace(ready=self.told.append, status=lambda text: None)

    def children(self) -> list[Any]:
        return [SimpleNamespace(state=ChildState.READY, is_missing=False, name="worker 0")]

    def watch_segments(self, children: object) -> Any:
        return SimpleNamespace(tick=lambda: None)

    def keep_listeners(self) -> None:
        """Nobody looks."""

    def take_standing(self) -> None:
        """Nobody looks."""

    def is_loaded(self) -> bool:
        return self.loaded

    def status(self, children: object) -> str:
        return "serving" if self.loaded else "loading"


@pytest.fixture
def plan() -> FakePlan:
    return FakePlan()


@pytest.fixture
def supervisor(plan: FakePlan, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.setattr(supervise, "SignalQueue", lambda: SimpleNamespace(fd=-1))
    monkeypatch.setattr(supervise, "import_for_replacements", lambda *_: None)
    made: Any = Supervisor(plan, SimpleNamespace(is_done=True, give_up_late=lambda now: None))  # type: ignore[arg-type]
    made.asked = []
    made.pulses = SimpleNamespace(tick=made.asked.append)
    made._next_tick = math.inf  # the second is not over
    return made


def test_an_answer_is_not_asked_again_while_nothing_is_loaded(supervisor: Any) -> None:
    for _ in range(5):
        supervisor._tick()  # as after each child's report
    assert supervisor.asked == []


def test_ready_is_told_without_waiting_for_the_second(supervisor: Any, plan: FakePlan) -> None:
    supervisor._tick()
    assert plan.told == []
    plan.loaded = True
    supervisor._tick()
    supervisor._tick()
    assert plan.told == ["serving"]
    assert len(supervisor.asked) == 1
