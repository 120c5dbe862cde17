"""Runs bin/switchovers in a short form: servers take over from each other, validators judge."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.switchovers.run import Switchovers
from tests.switchovers.scenes import Pair, Singles
from tests.switchovers.simulate import simulate
from tests.validate.history import Assured, Read, Told, Write
from tests.validate.verdict import faults_shown


def finds_nothing(run: Switchovers) -> None:
    """And the history has what is judged."""
    violations = run.run()
    assert not violations, "\n".join([*run.summary(), *faults_shown(violations)])
    assert sum(run.done.values()) == run.count
    kinds = Counter(type(one) for one in run.records)
    assert kinds[Read] > 100
    assert kinds[Told] > 100
    assured = Counter(one.by for one in run.records if isinstance(one, Assured))
    assert assured["token"] > 0
    assert assured["sync"] > 0
    assert sum(one.state == "committed" for one in run.records if isinstance(one, Write)) > 20
    assert sum(one.client.session.restored for one in run.subscribers) > 0


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_a_pair_switches_over_again_and_again_and_no_client_loses_or_repeats_anything(
    tmp_path: Path,
) -> None:
    finds_nothing(Switchovers(tmp_path, Pair(tmp_path), seed=1, count=3))


@pytest.mark.alone
@pytest.mark.long
@pytest.mark.timeout(240)
def test_single_proxies_of_which_one_is_gone_lose_and_repeat_nothing(tmp_path: Path) -> None:
    finds_nothing(Switchovers(tmp_path, Singles(tmp_path), seed=1, count=4))


def test_simulated_halves_of_pairs_switch_over_and_one_serves_in_the_end() -> None:
    assert simulate(20, 1) == []
