"""The command `bin/switchovers`."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import click

from tests.switchovers.masters import Masters
from tests.switchovers.run import Switchovers
from tests.switchovers.scenes import Pair, Singles
from tests.switchovers.simulate import simulate
from tests.validate.history import load
from tests.validate.run import faults_shown
from tests.validate.validators import judge

SCENES = {"pair": Pair, "masters": Masters, "singles": Singles}


@click.command()
@click.option("--count", default=100, show_default=True, help="Switchovers of real servers.")
@click.option("--seed", default=None, type=int, help="Repeats the choices of an earlier run.")
@click.option("--scene", default="pair", type=click.Choice([*SCENES]), show_default=True)
@click.option(
    "--simulate",
    "simulated",
    type=int,
    help="No servers: so many switchovers of simulated ones.",
)
@click.option("--keep", is_flag=True, help="Keep logs and history when all went well, too.")
@click.option("--judge", "judged", type=Path, help="Judge this history; no run.")
def main(
    count: int, seed: int | None, scene: str, simulated: int | None, keep: bool, judged: Path | None
) -> None:
    """Has servers take over from each other while clients write down what they see; judges it.

    Exits 1 with the violations.
    """
    if judged is not None:
        violations = judge(load(judged))
        for line in violations:
            click.echo(f"VIOLATION: {line}", err=True)
        sys.exit(1 if violations else 0)
    seed = int(time.time()) if seed is None else seed
    if simulated is not None:
        failed = simulate(simulated, seed)
        for line in faults_shown(failed):
            click.echo(f"VIOLATION: {line}", err=True)
        sys.exit(1 if failed else 0)
    folder = Path(tempfile.mkdtemp(prefix="csp-switchovers-"))
    run = Switchovers(folder, SCENES[scene](folder), seed=seed, count=count)
    violations = run.run()
    for line in run.summary():
        click.echo(line)
    for line in faults_shown(violations):
        click.echo(f"VIOLATION: {line}", err=True)
    if violations or keep:
        click.echo(f"seed {seed}; history.jsonl and logs are in {folder}", err=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main(prog_name="switchovers")
