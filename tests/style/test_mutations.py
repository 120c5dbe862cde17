"""Keeps the table of mutations (tools/mutate) in step with the code that it breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.mutate.__main__ import Mutation, load, why_stale

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("mutation", load(), ids=lambda one: one.name)
def test_a_mutation_has_its_line_and_its_tests(mutation: Mutation) -> None:
    assert why_stale(mutation) == "", "the line has changed: mend tools/mutate/mutations.toml"
    for test in mutation.tests:
        assert (ROOT / test.partition("::")[0]).exists()
