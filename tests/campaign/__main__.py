"""The command `bin/campaign`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

from tests.campaign.run import Campaign


@click.command()
@click.option(
    "--kills", default=200, show_default=True, help="How many times a process dies or stops."
)
@click.option("--seed", default=None, type=int, help="Repeats the choices of an earlier run.")
@click.option("--changes", default=200, show_default=True, help="Changes a second meanwhile.")
@click.option("--objects", default=200, show_default=True, help="Objects that are changed.")
@click.option("--keep-logs", is_flag=True, help="Keep the servers' logs when all went well, too.")
def main(kills: int, seed: int | None, changes: int, objects: int, keep_logs: bool) -> None:
    """Kills and stops processes at every failpoint and at random, under reads and changes.

    Checks every reply against the master's history, that no connection of another process is
    lost, and that the store is complete again without a reload. Exits 1 with what went wrong.
    """
    seed = int(time.time()) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="csp-campaign-"))
    campaign = Campaign(folder, seed=seed, changes_a_second=changes, objects=objects)
    faults = campaign.run(kills)
    for line in campaign.summary():
        click.echo(line)
    for fault in faults[:20]:
        click.echo(f"FAULT: {fault}", err=True)
    if faults or keep_logs:
        click.echo(f"seed {seed}; logs are in {folder}", err=True)
    else:
        campaign.remove_folder()
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main(prog_name="campaign")
