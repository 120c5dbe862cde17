"""Counts the instructions of the hot paths; a change that needs 2 % more has to say so."""

from __future__ import annotations

import pytest

from bench.instructions import measure


@pytest.mark.alone
@pytest.mark.needs("cc")
@pytest.mark.needs("valgrind")
def test_no_hot_path_is_over_its_budget() -> None:
    found = measure.verdicts(measure.count())
    assert all(one.count > 0 for one in found)
    if any(one.budget is None for one in found):
        pytest.skip(f"no budgets for {measure.toolchain()}: " + "; ".join(map(str, found)))
    assert not [str(one) for one in found if one.is_over]
