"""csp estate: writes an invented contact centre of any size to a file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import orjson

from csp.transfer.estate.sizes import OBJECT_BYTES_MAX, OBJECT_BYTES_MIN
from csp.transfer.estate.writing import AGENTS_MAX, write_estate


@click.command()
@click.option("--agents", type=click.IntRange(1, AGENTS_MAX), required=True)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed, the same file."
)
@click.option(
    "--object-bytes",
    type=click.IntRange(OBJECT_BYTES_MIN, OBJECT_BYTES_MAX),
    help="The mean size of an object to aim at.",
)
@click.option("-o", "output", default="-", metavar="FILE", help="Where to write (default: output).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def command(agents: int, seed: int, object_bytes: int | None, output: str, as_json: bool) -> None:
    """Make a realistic contact centre of any size, as a file in csp's form."""
    began = time.monotonic()
    if output == "-":
        write_estate(sys.stdout.buffer, agents, seed, object_bytes)
        return
    path = Path(output)
    try:
        with path.open("wb") as stream:
            count = write_estate(stream, agents, seed, object_bytes)
    except OSError as problem:
        raise click.UsageError(f"{output} can't be written: {problem.strerror}") from None
    size = path.stat().st_size
    if as_json:
        report = {"objects": count, "bytes": size, "file": output, "agents": agents, "seed": seed}
        click.echo(orjson.dumps(report).decode())
    else:
        seconds = time.monotonic() - began
        click.echo(f"{output}: {count} objects, {size / 1e6:.1f} MB ({seconds:.1f} s)", err=True)
