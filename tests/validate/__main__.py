"""The command `bin/validate`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from tests.validate.links import FaultProxies, Network
from tests.validate.packets import Packets, enter
from tests.validate.run import Run
from tests.validate.verdict import end_judging, end_run


@click.command()
@click.option("--minutes", default=3.0, show_default=True, help="How long blows fall.")
@click.option("--seed", default=None, type=int, help="Repeats the choices of an earlier run.")
@click.option(
    "--network",
    type=click.Choice(["packets", "proxies"]),
    default="packets",
    show_default=True,
    help="Drop packets in a namespace, where that may be; or have fault proxies between all ends.",
)
@click.option("--keep", is_flag=True, help="Keep logs and history when all went well, too.")
@click.option("--judge", "judged", type=Path, help="Judge this history; no run.")
def main(minutes: float, seed: int | None, network: str, keep: bool, judged: Path | None) -> None:
    """Records what real clients see while processes die and links fail, and judges it.

    Writers, readers and subscribers hop between a master and proxies; validators then say what of
    their histories can't be. Exits 1 with the violations.
    """
    if judged is not None:
        end_judging(judged)
    seed = int(time.time()) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="csp-validate-"))
    why_not = enter() if network == "packets" else "asked for"
    ways: Network = FaultProxies(why_not) if why_not else Packets()
    click.echo(f"network: {ways}", err=True)
    run = Run(folder, ways, seed=seed, seconds=minutes * 60)
    violations = run.run()
    end_run(run, violations, folder, seed, keep=keep)


if __name__ == "__main__":
    main(prog_name="validate")
