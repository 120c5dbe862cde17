"""Compiles the C programs beside this file: the load and the limit server."""

from __future__ import annotations

import subprocess
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BUILD = FOLDER.parent.parent / "build" / "bench"


def program(name: str) -> Path:
    """The path of the compiled program; compiled again when its source is newer."""
    source, binary = FOLDER / f"{name}.c", BUILD / name
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-O2", "-Wall", "-o", binary, source], check=True)
    return binary
