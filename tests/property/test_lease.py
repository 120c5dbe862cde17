"""The lease's table and its state machine: total, never two that write, always a way back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.master import seat
from csp.master.lease_table import TABLE, WRITES, Action, Finding, State, Step
from tests.effort import examples
from tests.property.lease_world import LeaseWorld

STEPS = 1000
SEEDS_MAX = 40
PAIRS = list(product(State, Finding))


@pytest.mark.parametrize(("state", "finding"), PAIRS, ids=lambda one: one.name)
def test_every_pair_has_a_step_that_is_safe(state: State, finding: Finding) -> None:
    step = TABLE[state, finding]
    if step.action is Action.SERVE or (step.state in WRITES and state not in WRITES):
        assert (state, finding) in {(State.TAKING, Finding.TAKEN), (State.LOST, Finding.OWN)}
    if step.action in (Action.RENEW, Action.RELEASE, Action.GIVE_UP):
        assert state in WRITES
    if step.action is Action.TAKE:
        assert step.state is State.TAKING
        assert state not in WRITES
    if state in WRITES and finding in {Finding.HELD, Finding.STILL, Finding.BEATEN, Finding.GONE}:
        assert step.state not in WRITES
    if finding is Finding.HELD and state is not State.ENDED:  # whoever moves the counter is let be
        assert step.action is Action.FOLLOW
    if finding is Finding.SWITCH and state not in WRITES:
        assert step == Step(state, Action.REFUSE)
    if finding is Finding.STOP:
        assert step.state is State.ENDED


@pytest.mark.parametrize("goal", [State.PRIMARY, State.STANDING_BY])
def test_no_state_is_without_a_way_out(goal: State) -> None:
    reached = {goal}
    for _ in State:
        reached |= {state for (state, _), step in TABLE.items() if step.state in reached}
    assert reached == set(State) - {State.ENDED}


@examples(15)
@given(st.integers(0, 1 << 32))
def test_one_master_writes_whatever_happens(seed: int) -> None:
    LeaseWorld(seed).run(STEPS)


@pytest.mark.parametrize(
    ("room", "name", "broken", "says"),
    [
        (seat.Chair, "next_fence", lambda self, _: max(1, self.fence), "two wrote|may write|rep"),
        (seat.Chair, "finding", lambda *_: Finding.HELD, "STANDING_BY"),
        (seat.Watch, "read", lambda *_: True, "taken while its counter moved"),
    ],
)
def test_a_broken_chair_is_found(
    monkeypatch: pytest.MonkeyPatch,
    room: object,
    name: str,
    broken: Callable[..., object],
    says: str,
) -> None:
    monkeypatch.setattr(room, name, broken)
    with pytest.raises(AssertionError, match=says):
        run_many()


def run_many() -> None:
    for seed in range(SEEDS_MAX):
        LeaseWorld(seed).run(STEPS)
