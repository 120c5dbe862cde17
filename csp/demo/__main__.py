"""The command `bin/demo`: tells the story once, or says what an earlier telling left running."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import click

from csp.demo.stage import DemoFault, Stage
from csp.demo.story import tell

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "build" / "demo"


@click.command()
@click.option("--once", is_flag=True, help="Leave nothing behind: no process, segment or file.")
@click.option("--stop", is_flag=True, help="Stop what an earlier run left running.")
@click.option("--agents", default=2_000, show_default=True, help="Size of the made-up estate.")
def main(once: bool, stop: bool, agents: int) -> None:
    """Imports a configuration into a master, serves it from a proxy, changes it, loses the master.

    Both servers are left running, unless --once is given.
    """
    if once:
        folder = Path(tempfile.mkdtemp(prefix="csp-demo-"))
        stage = Stage(folder, _password())
        try:
            _tell(stage, agents)
        finally:
            left = stage.clear()
            shutil.rmtree(folder, ignore_errors=True)
        if left:
            raise click.ClickException(f"left behind: {', '.join(left)}")
        click.echo("nothing is left: no process, no segment, no file")
        return
    earlier = Stage.earlier(FOLDER)
    if stop:
        click.echo(_stop(earlier))
        return
    if earlier is not None and earlier.is_running():
        click.echo("An earlier demo still runs:")
        click.echo(earlier.description())
        click.echo("bin/demo --stop ends it.")
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    stage = Stage(FOLDER, _password())
    try:
        _tell(stage, agents)
    except BaseException:
        stage.clear()
        raise
    stage.remember()
    click.echo("\nBoth servers are left running:")
    click.echo(stage.description())
    click.echo("bin/demo --stop ends them.")


def _tell(stage: Stage, agents: int) -> None:
    samples = ROOT / "tests" / "data" / "mutagen"
    try:
        tell(stage, agents=agents, samples=samples if samples.is_dir() else None)
    except DemoFault as fault:
        click.echo(f"demo: {fault}", err=True)
        sys.exit(1)


def _stop(stage: Stage | None) -> str:
    if stage is None:
        return "no demo is running"
    left = stage.clear()
    shutil.rmtree(stage.folder, ignore_errors=True)
    return f"left behind: {', '.join(left)}" if left else "stopped"


def _password() -> str:
    return os.environ.get("CSP_DEFAULT_PASSWORD") or secrets.token_urlsafe(9)


if __name__ == "__main__":
    main(prog_name="demo")
