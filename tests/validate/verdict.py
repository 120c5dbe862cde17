"""How a command that judges histories ends: with what can't be, and an exit code that says so."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, Protocol

import click

from tests.validate.history import load
from tests.validate.validators import judge

FAULTS_SHOWN_MAX = 20


class Done(Protocol):
    """A run that is over."""

    def summary(self) -> Sequence[str]:
        """What was done, in lines."""


def end_judging(file: Path) -> NoReturn:
    """Judges a history that an earlier run has left."""
    end(judge(load(file)))


def end_run(run: Done, violations: list[str], folder: Path, seed: int, *, keep: bool) -> NoReturn:
    """Tells of a run; its folder goes where all went well, unless it is to be kept."""
    for line in run.summary():
        click.echo(line)
    _tell(faults_shown(violations))
    if violations or keep:
        click.echo(f"seed {seed}; history.jsonl and logs are in {folder}", err=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if violations else 0)


def end(violations: Sequence[str]) -> NoReturn:
    """Tells them; 1 where there is one."""
    _tell(violations)
    sys.exit(1 if violations else 0)


def _tell(violations: Sequence[str]) -> None:
    for line in violations:
        click.echo(f"VIOLATION: {line}", err=True)


def faults_shown(violations: list[str]) -> list[str]:
    """The first of them, and how many more there are."""
    rest = len(violations) - FAULTS_SHOWN_MAX
    return violations[:FAULTS_SHOWN_MAX] + ([f"and {rest} more"] if rest > 0 else [])
