"""The feed's state machine under anything that a master and a network do, by a seed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.effort import examples
from tests.property.feed_world import FeedWorld

STEPS = 60


@examples(40)
@given(st.integers(0, 1 << 32))
def test_each_change_is_applied_once_and_loads_have_a_reason(seed: int) -> None:
    FeedWorld(seed).run(STEPS)
