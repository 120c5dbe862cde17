"""The command `bin/fuzz`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

from tests.fuzz import build

TARGETS = (
    *("parser", "requests", "proxy", "tls"),
    *("glob", "loose", "fields", "tracking", "feed"),
)


@click.command()
@click.argument("targets", nargs=-1, type=click.Choice(TARGETS))
@click.option("--seconds", default=60, show_default=True, help="For all targets together.")
@click.option("--seed", default=None, type=int, help="Repeats the choices of an earlier run.")
@click.option("--found", type=click.Path(path_type=Path), help="Keeps the inputs it makes here.")
def main(targets: tuple[str, ...], seconds: int, seed: int | None, found: Path | None) -> None:
    """Gives any bytes to the compiled core under sanitizers; exits 1 with the input that failed."""
    build.build()
    seed = int(time.time()) if seed is None else seed
    folder = found or Path(tempfile.mkdtemp(prefix="csp-fuzz-"))
    chosen = targets or TARGETS
    failed = []
    for target in chosen:
        click.echo(f"-- {target}: {seconds // len(chosen)} s, seed {seed}")
        if build.fuzz(target, seconds=seconds // len(chosen), found=folder, seed=seed):
            failed.append(target)
    if failed:
        click.echo(f"FAILED: {', '.join(failed)}; the inputs are in {folder}", err=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(prog_name="fuzz")
