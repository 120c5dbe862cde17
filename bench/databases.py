"""Measures imports and single writes of a master on SQLite beside one on PostgreSQL.

Both run on this machine, in turn; PostgreSQL with fsync, over a Unix socket.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import click

from bench.cpu import cpu_seconds
from tests.neighbours.postgres import Postgres
from tests.neighbours.server import Master, run_cli

IMPORT_SECONDS_MAX = 3600.0


@click.command()
@click.option("--agents", default=3000, show_default=True, help="Of the estate that is imported.")
@click.option("--writes", default=500, show_default=True, help="Single updates by one client.")
@click.option("--rounds", default=2, show_default=True)
def databases(agents: int, writes: int, rounds: int) -> None:
    """Compare a master's databases: imports, and writes one after the other."""
    with tempfile.TemporaryDirectory() as name, Postgres(fsync=True) as server:
        folder = Path(name)
        estate = folder / "estate.json"
        run_cli("estate", "--agents", str(agents), "--seed", "1", "-o", str(estate))
        for number in range(rounds):
            for kind in ("sqlite", "postgresql"):
                place = folder / f"{kind}-{number}"
                place.mkdir()
                url = server.new_url() if kind == "postgresql" else ""
                with Master(place, url=url).start() as master:
                    measure(kind, master, estate, writes)
    click.echo(f"load average {os.getloadavg()[0]:.1f}")


def measure(kind: str, master: Master, estate: Path, writes: int) -> None:
    """Prints one line for the import and one for the writes."""
    writer = [master.child("writer")]
    with master.client() as client:
        before = client.dbsize()
        cpu, began = cpu_seconds(writer), time.monotonic()
        done = master.cli("import", str(estate), within=IMPORT_SECONDS_MAX)
        elapsed, cpu = time.monotonic() - began, cpu_seconds(writer) - cpu
        if done.returncode:
            raise click.ClickException(f"{kind}: the import failed\n{done.stderr[-2000:]}")
        count = client.dbsize() - before
        click.echo(f"{kind}: import of {count} objects, {count / elapsed:.0f}/s, "
                   f"writer's processor time {cpu:.1f} s")  # fmt: skip
        cpu, began = cpu_seconds(writer), time.monotonic()
        for number in range(writes):
            delta = json.dumps({"changed": {"firstName": f"n{number}"}})
            client.execute_command("CFG.UPDATE", "CfgPerson", 101, delta)
        elapsed, cpu = time.monotonic() - began, cpu_seconds(writer) - cpu
        click.echo(f"{kind}: {writes} single writes, {elapsed / writes * 1000:.2f} ms each, "
                   f"writer's processor time {cpu / writes * 1000:.2f} ms each")  # fmt: skip
