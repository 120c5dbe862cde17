"""The command `bin/switchovers`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from tests.switchovers.masters import Masters
from tests.switchovers.run import Switchovers
from tests.switchovers.scenes import Pair, Singles
from tests.switchovers.simulate import simulate
from tests.validate.verdict import end, end_judging, end_run, faults_shown

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
        end_judging(judged)
    seed = int(time.time()) if seed is None else seed
    if simulated is not None:
        failed = simulate(simulated, seed)
        end(faults_shown(failed))
    folder = Path(tempfile.mkdtemp(prefix="csp-switchovers-"))
    run = Switchovers(folder, SCENES[scene](folder), seed=seed, count=count)
    violations = run.run()
    end_run(run, violations, folder, seed, keep=keep)


if __name__ == "__main__":
    main(prog_name="switchovers")
