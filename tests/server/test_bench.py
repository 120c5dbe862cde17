"""Runs the benches in tiny sizes: do they still work? The figures are not judged here."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.neighbours.server import ROOT

WITHIN_SECONDS = 120
FINE, FALLS_SHORT = 0, 1


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (
            ["memory", "--objects", "500", "--connections", "20"],
            ["store overhead an object", "idle worker", "idle connection"],
        ),
        (
            ["filter", "--objects", "150", "--requests", "3", "--rounds", "1"],
            ["filter read of 100", "brief list of 151"],
        ),
        (
            ["client", "--requests", "20", "--rounds", "1"],
            ["GET, blocking, hiredis", "pipeline of 64 GETs, asyncio, Python", "page of 100, a"],
        ),
        (
            ["load", "--objects", "200", "--changes", "20", "--rounds", "1"],
            ["load of a proxy", "attach to first read", "changes applied"],
        ),
        (
            ["scale", "--objects", "400", "--few", "50", "--requests", "2000", "--rounds", "1"],
            ["GET, pipeline 16, 400 objects"],
        ),
    ],
)
def test_a_bench_prints_its_rows(arguments: list[str], rows: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WITHIN_SECONDS,
        check=False,
    )
    assert done.returncode in (FINE, FALLS_SHORT), done.stderr
    table = done.stdout.partition("work / against")[2]
    for row in rows:
        assert row in table, done.stdout + done.stderr
    # The exit code and the verdicts agree.
    assert ("FALLS SHORT" in table) == (done.returncode == FALLS_SHORT)
    assert "Traceback" not in done.stderr
