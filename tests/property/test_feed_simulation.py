"""The feed's state machine under anything that a master and a network do, by a seed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.feed import following, heard, origin
from csp.feed.resume import Decision
from tests.effort import examples
from tests.property.feed_world import FeedWorld

STEPS = 150
SEEDS_MAX = 20


@examples(40)
@given(st.integers(0, 1 << 32))
def test_each_change_is_applied_once_and_loads_have_a_reason(seed: int) -> None:
    FeedWorld(seed).run(STEPS)


@pytest.mark.parametrize(
    ("room", "name", "broken", "says"),
    [
        (origin, "decide", lambda *_: Decision(True, "loads always"), "for no reason"),
        (following.Change, "continues", lambda *_: True, "was no master's"),
        (heard.Heard, "show_down", lambda _: None, "shown as there"),
        (
            heard.Heard,
            "state",
            lambda self, *_: setattr(self, "_time_ms", 1 << 50),
            "no master has",
        ),
    ],
)
def test_a_feed_that_is_broken_is_found(
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
        FeedWorld(seed).run(STEPS)
