"""Runs bin/validate in a short form: clients hop, servers and links fail, validators judge."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.validate.history import Bookmark, Read, Subscribed, Told, Write, load
from tests.validate.run import Run, faults_shown
from tests.validate.validators import judge

SECONDS = 12.0


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_a_short_run_finds_no_violation(tmp_path: Path) -> None:
    run = Run(tmp_path, seed=1, seconds=SECONDS)
    violations = run.run()
    assert not violations, "\n".join([*run.summary(), *faults_shown(violations)])
    kinds = Counter(type(one) for one in run.records)
    assert kinds[Read] > 200
    assert kinds[Told] > 200
    assert kinds[Bookmark] > 5
    assert kinds[Subscribed] > len(run.watchers) + len(run.subscribers)  # some were resumed
    assert sum(one.state == "committed" for one in run.records if isinstance(one, Write)) > 50
    assert judge(load(tmp_path / "history.jsonl")) == []
