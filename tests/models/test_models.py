"""Checks every interleaving of the models: the rule as built holds, the rule left out is caught."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
SECONDS_MAX = 60
pytestmark = [pytest.mark.needs("spin"), pytest.mark.needs("cc")]


def errors_of(model: str, defines: tuple[str, ...], folder: Path) -> int:
    """How many errors Spin finds when it visits all states."""

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=SECONDS_MAX
        )
        return done.stdout

    run("spin", *defines, "-a", str(FOLDER / model))
    run("gcc", "-O1", "-DSAFETY", "-o", "pan", "pan.c")
    out = run("./pan", "-m200000")
    assert "max search depth too small" not in out
    line = next(line for line in out.splitlines() if "errors:" in line)
    return int(line.rsplit("errors:", 1)[1])


@pytest.mark.parametrize(
    ("model", "rule", "broken"),
    [
        ("epoch.pml", ("-DREADER_FENCE", "-DWRITER_FENCE"), ("-DWRITER_FENCE",)),
        ("epoch.pml", ("-DREADER_FENCE", "-DWRITER_FENCE"), ("-DREADER_FENCE",)),
        ("jobs.pml", (), ("-DLATE",)),
        ("jobs.pml", (), ("-DPRESENT",)),
        ("walk.pml", (), ("-DUNMARKED",)),
        ("walk.pml", (), ("-DEARLY",)),
        ("versions.pml", (), ("-DEARLY",)),
        ("redo.pml", (), ("-DBLIND",)),
        ("intent.pml", (), ("-DEARLY",)),
    ],
)
def test_the_rule_holds_and_is_needed(
    model: str, rule: tuple[str, ...], broken: tuple[str, ...], tmp_path: Path
) -> None:
    assert errors_of(model, rule, tmp_path) == 0
    assert errors_of(model, broken, tmp_path) > 0
