"""Instruction counts fail against their budgets at two in a hundred more, each kind of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.instructions import measure
from bench.instructions.driver import AMOUNT

BUDGETS = dict.fromkeys(AMOUNT, 1000.0)


@pytest.fixture
def budgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Budgets of a thousand each, for the toolchain that is here."""
    path = tmp_path / "budgets.json"
    path.write_text(json.dumps({measure.toolchain(): BUDGETS}))
    monkeypatch.setattr(measure, "BUDGETS", path)
    return path


def test_there_are_budgets_for_all_that_was_promised() -> None:
    promised = {"get", "mget key", "command", "change", "followed change"}
    assert set(AMOUNT) == promised | {"granted get"}
    for known in json.loads(measure.BUDGETS.read_text()).values():
        assert promised <= set(known) <= set(AMOUNT)
        assert all(budget > 0 for budget in known.values())


@pytest.mark.parametrize("name", AMOUNT)
@pytest.mark.parametrize(("count", "code"), [(1019.9, 0), (1020.1, 1), (900.0, 0)])
def test_two_in_a_hundred_more_fail(
    budgets: Path, monkeypatch: pytest.MonkeyPatch, name: str, count: float, code: int
) -> None:
    monkeypatch.setattr(measure, "count", lambda: {**BUDGETS, name: count})
    done = CliRunner().invoke(measure.instructions, [])
    assert done.exit_code == code
    assert ("TOO MANY" in done.output) == bool(code)
    assert ("lower the budget" in done.output) == (count < 980)


def test_another_compiler_has_no_verdict(budgets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "toolchain", lambda: "another compiler")
    monkeypatch.setattr(measure, "count", lambda: dict.fromkeys(AMOUNT, 9999.0))
    done = CliRunner().invoke(measure.instructions, [])
    assert done.exit_code == 0
    assert "reported only" in done.output
