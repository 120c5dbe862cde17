"""Runs bin/validate in a short form: clients hop, servers and links fail, validators judge."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.validate import (  # noqa: F401 - they fill PLANTS
    plants_answered,
    plants_assured,
    plants_cached,
    plants_told,
)
from tests.validate.history import Bookmark, Hit, Read, Subscribed, Told, Write, load
from tests.validate.links import FaultProxies
from tests.validate.planting import PLANTS
from tests.validate.run import Run
from tests.validate.validators import VALIDATORS, judge
from tests.validate.verdict import faults_shown

SECONDS = 12.0
# Those that look for their place in one walk: a real history is long.
PLANTED = {
    "a_change_is_doubled",
    "a_bookmark_overtakes_its_changes",
    "a_change_has_the_value_of_another",
    "a_read_shows_another_value",
    "a_write_is_not_read_by_its_author",
    "an_answered_write_is_lost",
    "what_was_taken_back_is_served",
    "what_was_taken_back_elsewhere_is_served",
}


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_a_short_run_finds_no_violation(tmp_path: Path) -> None:
    """And each fault that is then put into its history is found."""
    run = Run(tmp_path, FaultProxies("a short run"), seed=1, seconds=SECONDS)
    violations = run.run()
    assert not violations, "\n".join([*run.summary(), *faults_shown(violations)])
    kinds = Counter(type(one) for one in run.records)
    assert kinds[Read] > 200
    assert kinds[Told] > 200
    assert kinds[Bookmark] > 5
    assert kinds[Hit] > 200
    assert kinds[Subscribed] > len(run.watchers) + len(run.subscribers)  # some were resumed
    assert sum(one.state == "committed" for one in run.records if isinstance(one, Write)) > 50
    records = load(tmp_path / "history.jsonl")
    assert judge(records) == []
    planted = [plant for plant in PLANTS if plant.name in PLANTED]
    assert len(planted) == len(PLANTED)
    for plant in planted:
        spoilt = plant.put(list(records), random.Random(1))
        assert VALIDATORS[plant.finder](spoilt), plant.name
