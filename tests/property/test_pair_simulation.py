"""The mind of a pair's half under anything that happens to halves, master and links, by a seed.

`python -m tests.property.test_pair_simulation 100000` runs so many seeds and tells the first that
fails.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.feed import pair_mind
from csp.feed.pair_table import Action, Verdict, decide
from tests.effort import examples
from tests.property.pair_world import HALVES, PairWorld

DEEDS = 40
SEEDS_MAX = 60


def run(seed: int) -> None:
    """One world of this seed; AssertionError with its story."""
    PairWorld(seed).run(DEEDS)


@examples(25)
@given(st.integers(0, 1 << 32))
def test_somebody_serves_and_with_the_master_there_one_alone(seed: int) -> None:
    run(seed)


def test_the_cut_link_of_the_pair_moves_nobody() -> None:
    world = PairWorld(1)
    world.settle()
    world.do("cut across")
    world.settle()
    assert world.master.row.number == 0
    assert [half.serves for half in world.halves] == [True, False]


def never(action: Action) -> Callable[..., Verdict]:
    """A table that lacks a deed."""

    def broken(sight: Any) -> Verdict:
        found = decide(sight)
        return Verdict(Action.STAY, "") if found.action is action else found

    return broken


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (Action.PROMOTE, "nobody serves"),
        (Action.TAKE, "nobody serves|names another"),
        (Action.DRAIN, "two serve"),
    ],
)
def test_a_table_that_lacks_a_deed_is_found(
    monkeypatch: pytest.MonkeyPatch, action: Action, says: str
) -> None:
    monkeypatch.setattr(pair_mind, "decide", never(action))
    with pytest.raises(AssertionError, match=says):
        run_many()


def run_many() -> None:
    for seed in range(SEEDS_MAX):
        run(seed)


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        run(number)
    print(f"{sys.argv[1]} seeds of {DEEDS} deeds with the halves {HALVES}: none fails")
