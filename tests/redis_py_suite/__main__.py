"""Runs redis-py's own test suite against a master: `bin/redis-py-suite`.

1. The suite is that of the redis-py which the other tests use; it comes with that release's source.
2. expected.toml says which failures are right, by their error or by name, each with its reason.
3. A failure that it doesn't explain fails the run, and so does a named test that passes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from tests.neighbours.server import PASSWORD, ROOT, Master

HERE = Path(__file__).parent
CACHE = ROOT / ".venv" / "redis-py-suite"
SECONDS_A_TEST_MAX = 8


@dataclass
class Verdict:
    """The failures of a run, sorted by what expected.toml says of them."""

    explained: dict[str, list[str]]
    unexplained: dict[str, str]
    passed_after_all: list[str]

    @property
    def is_good(self) -> bool:
        return not self.unexplained and not self.passed_after_all


def judge(failed: dict[str, str], expected: dict[str, Any], *, whole: bool) -> Verdict:
    """`whole`: every test was run, so that a named one which is missing has passed."""
    verdict = Verdict({}, {}, [])
    named = {test: row["reason"] for row in expected["named"] for test in row["tests"]}
    rules = [(re.compile(row["error"], re.DOTALL), row["reason"]) for row in expected["errors"]]
    for test, error in failed.items():
        plain = test.split("[")[0]
        reasons = [named[plain]] if plain in named else []
        reasons += [reason for pattern, reason in rules if pattern.search(error)]
        if reasons:
            verdict.explained.setdefault(reasons[0], []).append(test)
        else:
            verdict.unexplained[test] = error
    if whole:
        seen = {test.split("[")[0] for test in failed}
        verdict.passed_after_all = sorted(set(named) - seen)
    return verdict


def prepare() -> tuple[Path, Path]:
    """The suite's folder and a Python that can run it, made when they are missing."""
    release = version("redis")
    folder, environment = CACHE / f"redis-{release}", CACHE / f"venv-{release}"
    python = environment / "bin" / "python"
    if not folder.is_dir():
        source = ("--no-deps", "--no-binary", "redis", f"redis=={release}", "-d", CACHE)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", *source], check=True)
        with tarfile.open(CACHE / f"redis-{release}.tar.gz") as archive:
            archive.extractall(CACHE, filter="data")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        wanted = (f"redis[hiredis]=={release}", "-r", HERE / "requirements.txt")
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)
    return folder, python


def run(folder: Path, python: Path, port: int, tests: list[str]) -> dict[str, Any]:
    """What failed, and how many did what."""
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.json"
        url = f"redis://default:{quote(PASSWORD)}@127.0.0.1:{port}/0"
        options = ["-p", "suite_plugin", "-p", "no:cacheprovider", "-q", "--tb=no", "-rN"]
        options += ["--disable-warnings", "--redis-url", url, "--timeout", str(SECONDS_A_TEST_MAX)]
        done = subprocess.run(
            [python, "-m", "pytest", *options, *tests],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(HERE), "SUITE_REPORT": str(report)},
            stdout=sys.stderr,
            check=False,
        )
        if done.returncode not in (0, 1):
            raise click.ClickException(f"pytest did not come to its end: exit {done.returncode}")
        found: dict[str, Any] = json.loads(report.read_text())
        return found


@click.command()
@click.argument("tests", nargs=-1)
def main(tests: tuple[str, ...]) -> None:
    """Runs redis-py's own tests against a master: those that apply, or TESTS of them."""
    expected = tomllib.loads((HERE / "expected.toml").read_text())
    CACHE.mkdir(parents=True, exist_ok=True)
    folder, python = prepare()
    with tempfile.TemporaryDirectory() as name, Master(Path(name), workers=2) as master:
        found = run(folder, python, master.port, list(tests) or expected["files"])
    verdict = judge(found["failed"], expected, whole=not tests)
    for reason, those in sorted(verdict.explained.items(), key=lambda one: -len(one[1])):
        click.echo(f"{len(those):5} {reason}")
    for test, error in verdict.unexplained.items():
        click.echo(f"NOT EXPECTED {test}: {error.splitlines()[0] if error else ''}")
    for test in verdict.passed_after_all:
        click.echo(f"PASSES NOW {test}: take it out of expected.toml")
    click.echo(", ".join(f"{count} {what}" for what, count in sorted(found["counts"].items())))
    sys.exit(0 if verdict.is_good else 1)


if __name__ == "__main__":
    main()
