"""Builds the extension with the race detector, in a folder of its own, and runs the scenario.

`python -m tests.c.races [seconds]`; ends with 1 on a report or a failed check.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS_MAX = 600
RUN_SECONDS_MAX = 300
FLAGS = "-O1 -fno-omit-frame-pointer -fsanitize=thread"
LIBRARY = "libtsan.so"
OPTIONS = "halt_on_error=1:exitcode=66"


def build(folder: Path) -> Path:
    """A copy of what the build needs, built there; returns the folder to import from."""
    (folder / "csp").mkdir()
    for name in ("setup.py", "pyproject.toml", "csp/__init__.py", "csp/_fastpath.pyx"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "csp" / "_fastpath", folder / "csp" / "_fastpath")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        env={**os.environ, "CSP_CFLAGS": FLAGS},
        check=True,
        timeout=BUILD_SECONDS_MAX,
        capture_output=True,
    )
    return folder


def library(name: str) -> str:
    found = subprocess.run(
        ["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True
    )
    return str(Path(found.stdout.strip()).resolve())


def main(seconds: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        built = build(Path(folder))
        done = subprocess.run(
            # Without address randomisation: the race detector wants its shadow at fixed places.
            [
                "setarch",
                platform.machine(),
                "-R",
                sys.executable,
                "-m",
                "tests.c.scenario",
                seconds,
            ],
            cwd=built,
            env={
                **os.environ,
                "TSAN_OPTIONS": OPTIONS,
                "LD_PRELOAD": library(LIBRARY),
                "PYTHONMALLOC": "malloc",
                "PYTHONPATH": f"{built}{os.pathsep}{ROOT}",
                "PYTHONSAFEPATH": "1",
            },
            timeout=RUN_SECONDS_MAX,
        )
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "5"))
