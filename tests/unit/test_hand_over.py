"""The writer of a pair's half that drains has the other one take over: at once, and once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from csp.errors import CspError, NoRef
from csp.process.origin import Later
from csp.process.standing import ROLE_BACKUP, ROLE_PRIMARY, ROLE_SINGLE
from csp.writer.hand_over import HandOver
from tests.unit.fake_flags import FakeFlags


class Shown(FakeFlags):
    role = ROLE_PRIMARY
    serving = True


class Origin:
    def __init__(self, answer: Callable[[], Later[None] | None] = lambda: None) -> None:
        self.asked = 0
        self._answer = answer

    def switch_over(self) -> Later[None] | None:
        self.asked += 1
        return self._answer()


def test_it_hands_over_when_a_drain_begins_and_not_again_before_the_next() -> None:
    shown, origin = Shown(), Origin()
    hand_over = HandOver(shown, origin)
    hand_over.tick()
    assert origin.asked == 0
    for begin in (1_000, 9_000):
        shown.set_drain(begin, begin + 5_000)
        for _ in range(3):
            hand_over.tick()
        shown.set_drain(0, 0)
        hand_over.tick()
    assert origin.asked == 2


def test_a_successor_leaves_a_drain_to_its_predecessor() -> None:
    shown, origin = Shown(), Origin()
    shown.set_drain(1_000, 2_000)
    HandOver(shown, origin).tick()
    assert origin.asked == 0


@pytest.mark.parametrize(("role", "serving"), [(ROLE_SINGLE, True), (ROLE_BACKUP, False)])
def test_who_has_nobody_to_hand_over_to_drains_alone(role: int, serving: bool) -> None:
    shown, origin = Shown(), Origin()
    shown.role, shown.serving = role, serving
    hand_over = HandOver(shown, origin)
    shown.set_drain(1_000, 2_000)
    hand_over.tick()
    assert origin.asked == 0


@pytest.mark.parametrize("is_late", [False, True])
def test_why_it_could_not_is_told(is_late: bool, caplog: pytest.LogCaptureFixture) -> None:
    later: Later[None] = Later()

    def refuse() -> Later[None]:
        raise NoRef("the peer is away")

    shown = Shown()
    hand_over = HandOver(shown, Origin(lambda: later) if is_late else Origin(refuse))
    shown.set_drain(1_000, 2_000)
    hand_over.tick()
    if is_late:
        assert not caplog.messages
        refusal: Exception = CspError("the peer is away")
        later.answer(refusal)  # type: ignore[arg-type]
    assert "the peer is away" in caplog.text
