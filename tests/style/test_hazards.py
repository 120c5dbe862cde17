"""The page of hazards: every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

from bench.__main__ import main

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "internals" / "hazards.md"
NAMED = re.compile(r"`(tests/[\w/.]+\.py)::(\w+)`")


def test_every_test_that_is_named_is_there() -> None:
    named = NAMED.findall(PAGE.read_text())
    assert len(named) > 40
    for path, name in named:
        file = ROOT / path
        assert file.exists(), f"the page names {path}"
        assert f"def {name}(" in file.read_text(), f"the page names {path}::{name}"


def test_every_bench_that_is_named_is_there() -> None:
    for name in re.findall(r"`bin/bench (\w+)", PAGE.read_text()):
        assert name in main.commands, f"the page names bin/bench {name}"


def test_every_hazard_has_a_test() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    for row in rows:
        hazard = row.split("|")[1].strip()
        assert hazard == "hazard" or NAMED.search(row), f"no test for: {hazard}"
