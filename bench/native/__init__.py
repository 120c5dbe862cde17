"""Compiles the C programs beside this file: loads, clients, and what csp is measured against."""

from __future__ import annotations

import subprocess
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BUILD = FOLDER.parent.parent / "build" / "bench"


def program(name: str) -> Path:
    """The path of the compiled program; compiled again when a source or header is newer."""
    source, binary = FOLDER / f"{name}.c", BUILD / name
    newest = max(path.stat().st_mtime for path in (source, *FOLDER.glob("*.h")))
    if not binary.exists() or binary.stat().st_mtime < newest:
        BUILD.mkdir(parents=True, exist_ok=True)
        command = ["gcc", "-O2", "-Wall", "-o", binary, source, "-Wl,--as-needed"]
        subprocess.run([*command, "-lssl", "-lcrypto"], check=True)
    return binary
