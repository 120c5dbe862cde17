"""Breaks one promise after the other in a copy of the repository, and tells which no test saw.

bin/mutate [PART OF A NAME]… ; the exit code is 1 where a mutation survived or its line is gone.

1. Nothing in the repository itself is changed: each mutation is made in a copy and taken back.
2. A mutation whose line is not there once, or whose tests fail without it, is a fault, not a pass.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TABLE = Path(__file__).parent / "mutations.toml"
SECONDS_MAX = 300  # of one mutation's tests


@dataclass(frozen=True, slots=True)
class Mutation:
    """One line that is broken."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def load(path: Path = TABLE) -> list[Mutation]:
    """The table."""
    rows = tomllib.loads(path.read_text("utf-8"))
    return [
        Mutation(name, row["file"], row["old"], row["new"], tuple(row["tests"]))
        for name, row in rows.items()
    ]


def why_stale(mutation: Mutation, root: Path = ROOT) -> str:
    """Why it can't be made; empty where it can."""
    path = root / mutation.file
    count = path.read_text("utf-8").count(mutation.old) if path.exists() else 0
    return "" if count == 1 else f"its text stands {count} times in {mutation.file}"


def main(words: list[str]) -> int:
    """Runs what the words name, or all."""
    chosen = [one for one in load() if not words or any(word in one.name for word in words)]
    bad = []
    passes: dict[tuple[str, ...], bool] = {}
    with tempfile.TemporaryDirectory(prefix="csp-mutate-") as folder:
        copy = Path(folder)
        _copy(copy)
        for mutation in chosen:
            if mutation.tests not in passes:
                passes[mutation.tests] = _run(mutation.tests, copy) == 0
            verdict = why_stale(mutation, copy)
            verdict = verdict or ("" if passes[mutation.tests] else "FAILS WITHOUT IT")
            verdict = verdict or _verdict(mutation, copy)
            sys.stdout.write(f"{verdict or 'seen':10} {mutation.name}\n")
            sys.stdout.flush()
            if verdict:
                bad.append(mutation.name)
    sys.stdout.write(f"{len(chosen) - len(bad)} of {len(chosen)} seen\n")
    return 1 if bad or not chosen else 0


def _verdict(mutation: Mutation, copy: Path) -> str:
    path = copy / mutation.file
    text = path.read_text("utf-8")
    path.write_text(text.replace(mutation.old, mutation.new), "utf-8")
    try:
        code = _run(mutation.tests, copy)
    finally:
        path.write_text(text, "utf-8")
    return "" if code else "SURVIVED"


def _run(tests: tuple[str, ...], copy: Path) -> int:
    """pytest's exit code; what hangs has failed."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1
    return done.returncode


def _copy(into: Path) -> None:
    """What git knows, and the compiled extension."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    built = [str(path.relative_to(ROOT)) for path in (ROOT / "csp").glob("_fastpath.*.so")]
    for name in (*names, *built):
        source = ROOT / name
        if source.is_file():
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
