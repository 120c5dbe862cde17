"""The client's subscription over any losses, by a seed: each change once and in order, or a gap."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csp.client.place import Place
from csp.resp import request
from tests.effort import examples
from tests.property.subscription_world import SubscriptionWorld

ROUNDS = 40
CHANNELS = [("cfg",), ("cfg:CfgSkill",), ("cfg:CfgSkill", "cfg:CfgPerson")]


@examples(40)
@given(st.integers(0, 1 << 32), st.sampled_from(CHANNELS))
# A gap was forgotten where the next link was lost, too, before its subscriptions were confirmed.
@example(9, ("cfg",))
# A wait for those confirmations was broken off, and the same connection was used again.
@example(11, ("cfg",))
def test_each_change_comes_once_and_in_order_or_a_gap_is_told(
    seed: int, channels: tuple[str, ...]
) -> None:
    SubscriptionWorld(seed, channels).run(ROUNDS)


def run_many(*, restores: bool) -> None:
    for seed in range(40):
        SubscriptionWorld(seed, ("cfg",), restores=restores).run(ROUNDS)


@pytest.mark.parametrize(
    ("moved", "says"),
    [
        # Behind a change that was told in part; before one that was told whole.
        (0, "were left out|never came"),
        (-2, "comes twice|never was"),  # what never was: of before the beginning
    ],
)
def test_a_place_that_is_wrong_is_found(
    monkeypatch: pytest.MonkeyPatch, moved: int, says: str
) -> None:
    def requests_wrong(self: Place, subscriptions: int) -> list[bytes]:
        place = max(0, self._revision + moved) if self.is_known else "NOW"
        return [request("CFG.FROM", place, "SUBS", subscriptions, "BOOKMARKS", 10_000)]

    monkeypatch.setattr(Place, "requests", requests_wrong)
    with pytest.raises(AssertionError, match=says):
        run_many(restores=False)


def test_a_place_without_its_mark_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database was put back, and has as many revisions again."""
    requests = Place.requests
    monkeypatch.setattr(Place, "requests", lambda self, count: requests(self, count)[-1:])
    with pytest.raises(AssertionError, match="of another history came without a gap"):
        run_many(restores=True)
