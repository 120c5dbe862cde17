"""Starts masters that serve many made-up objects."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import click

from bench.made import fill_database
from tests.neighbours.server import Master

LOAD_SECONDS_MAX = 900


def filled_master(
    stack: ExitStack,
    folder: Path,
    count: int,
    mean_bytes: int,
    options: dict[str, str] | None = None,
) -> tuple[Master, float]:
    """A master with one worker and so many persons, stopped with the stack; seconds it loaded.

    `options` are those of the Application's section `csp`.
    """
    folder.mkdir(exist_ok=True)
    path = folder / "master.db"  # filled without a master, which only SQLite allows
    master = Master(folder, workers=1, url=f"sqlite:///{path}")
    with master:  # makes the database
        for name, value in (options or {}).items():
            done = master.cli("option", f"CfgApplication/name={master.app}", "csp", name, value)
            assert done.returncode == 0, done.stderr
    click.echo(f"putting {count} objects into the database in {folder.name}")
    fill_database(path, count, mean_bytes)
    began = time.monotonic()
    master.start(ready=False)
    stack.callback(master.stop)
    master.wait_ready(LOAD_SECONDS_MAX)
    return master, time.monotonic() - began
