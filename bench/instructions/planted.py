"""Builds the extension with a planted regression, which the budgets have to find.

The compiler puts instructions that do nothing before every function: a few in a hundred more, on
every path, and not a line of the sources differs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLAGS = "-fpatchable-function-entry=8"
BUILD_SECONDS_MAX = 600


def build(folder: Path) -> None:
    """A copy of csp in the folder, with its extension built there."""
    unbuilt = shutil.ignore_patterns("__pycache__", "_fastpath.c", "*.so")
    shutil.copytree(ROOT / "csp", folder / "csp", ignore=unbuilt)
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        env=os.environ | {"CSP_CFLAGS": FLAGS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the planted build failed:\n{done.stdout[-3000:]}")
