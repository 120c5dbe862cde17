"""Runs redis-cli and redis-benchmark as people do."""

from __future__ import annotations

import os
import subprocess

from tests.neighbours.server import PASSWORD, Server

SECONDS_MAX = 60.0


def redis_cli(server: Server, *arguments: str, typed: str = "") -> str:
    """What redis-cli prints; `typed` goes to its standard input."""
    command = ["redis-cli", "-p", str(server.port), "--no-auth-warning", *arguments]
    return _run(command, typed)


def redis_benchmark(server: Server, *arguments: str) -> str:
    """What redis-benchmark prints."""
    return _run(["redis-benchmark", "-p", str(server.port), "-a", PASSWORD, *arguments], "")


def _run(command: list[str], typed: str) -> str:
    done = subprocess.run(
        command,
        input=typed,
        env=os.environ | {"REDISCLI_AUTH": PASSWORD},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
