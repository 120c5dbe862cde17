"""Runs the driver under callgrind and holds its figures against the budgets in budgets.json.

1. Budgets belong to one compiler, Python and machine type; elsewhere the figures are only reported.
2. More than 2 % above a budget fails; more than 2 % below asks for a lower budget.
3. With a planted regression every budget must be exceeded: --planted fails where one is not.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from bench.instructions import planted as plant
from bench.instructions.driver import AMOUNT, ROUNDS

FOLDER = Path(__file__).parent
BUDGETS = FOLDER / "budgets.json"
TOLERANCE = 0.02
RUN_SECONDS_MAX = 300
TOTALS = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)
TRIGGER = re.compile(r"^desc: Trigger: Client Request: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """What one figure is worth; `budget` None: there is none for this compiler."""

    name: str
    count: float
    budget: float | None

    @property
    def is_over(self) -> bool:
        return self.budget is not None and self.count > self.budget * (1 + TOLERANCE)

    @property
    def is_under(self) -> bool:
        return self.budget is not None and self.count < self.budget * (1 - TOLERANCE)

    def __str__(self) -> str:
        text = f"{self.name:<10}{self.count:10.1f} instructions"
        if self.budget is None:
            return text
        text += f", budget {self.budget:.1f} ({self.count / self.budget - 1:+.2%})"
        if self.is_over:
            return text + ": TOO MANY"
        return text + (": lower the budget with --record" if self.is_under else "")


def toolchain() -> str:
    """What decides how many instructions there are: compiler, Python, Cython's output, machine."""
    import Cython

    printed = subprocess.run(["cc", "-dumpfullversion"], capture_output=True, text=True, check=True)
    parts = ("cc", printed.stdout.strip(), "Python", platform.python_version())
    return " ".join((*parts, "Cython", Cython.__version__, platform.machine()))


def count(root: Path = plant.ROOT) -> dict[str, float]:
    """Instructions of one GET, one key of MGET, one command, one change, of the csp in a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        marks = folder / "marks.so"
        source = str(FOLDER / "marks.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", marks, source], check=True)
        done = subprocess.run(
            [
                *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--combine-dumps=no"),
                *(f"--callgrind-out-file={folder}/out", "-q", sys.executable),
                *("-m", "bench.instructions.driver", str(marks)),
            ],
            cwd=root,
            env=os.environ
            | {"PYTHONHASHSEED": "0", "PYTHONPATH": f"{root}{os.pathsep}{plant.ROOT}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the driver failed under callgrind:\n{done.stderr[-3000:]}")
        dumps = [path.read_text(errors="replace") for path in folder.glob("out.*")]
    totals: dict[str, int] = {}
    for dump in dumps:
        trigger = TRIGGER.search(dump)
        total = TOTALS.search(dump)
        if trigger and total:
            totals[trigger[1].strip()] = int(total[1])
    return {name: _each(totals, name) for name in AMOUNT}


def _each(totals: dict[str, int], name: str) -> float:
    more = totals[f"{name} 2"] - totals[f"{name} 1"]
    rounds = 1 if name in ("change", "followed change") else ROUNDS
    return more / (AMOUNT[name] * rounds)


def verdicts(counts: dict[str, float]) -> list[Verdict]:
    """Each figure beside its budget for this compiler."""
    budgets = json.loads(BUDGETS.read_text()).get(toolchain(), {})
    return [Verdict(name, counts[name], budgets.get(name)) for name in AMOUNT]


def prove() -> bool:
    """Whether a planted regression exceeds every budget; says so."""
    with tempfile.TemporaryDirectory() as name:
        plant.build(Path(name))
        found = verdicts(count(Path(name)))
    click.echo(f"{toolchain()}, with {plant.FLAGS}")
    for one in found:
        click.echo(one)
    missed = [one.name for one in found if not one.is_over]
    click.echo(f"not found: {', '.join(missed)}" if missed else "each budget finds it")
    return not missed


@click.command()
@click.option("--record", is_flag=True, help="Makes the figures of this run the budgets.")
@click.option("--planted", is_flag=True, help="Proves that the budgets find a regression.")
def instructions(record: bool, planted: bool) -> None:
    """Instructions per GET, MGET key, command and change; exits 1 above budget by 2 %."""
    if planted:
        sys.exit(0 if prove() else 1)
    counts = count()
    if record:
        known = json.loads(BUDGETS.read_text()) if BUDGETS.exists() else {}
        known[toolchain()] = {name: round(value, 1) for name, value in counts.items()}
        BUDGETS.write_text(json.dumps(known, indent=2) + "\n")
    found = verdicts(counts)
    click.echo(toolchain())
    for one in found:
        click.echo(one)
    if any(one.budget is None for one in found):
        click.echo("there are no budgets for this compiler: reported only")
    over = [one for one in found if one.is_over]
    for one in over:
        click.echo(f"falls short: {one}", err=True)
    sys.exit(1 if over else 0)
