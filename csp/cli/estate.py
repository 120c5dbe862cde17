"""csp estate: writes an invented contact centre of any size to a file."""

from __future__ import annotations

import time
from typing import BinaryIO

import click
import orjson

from csp.cli.output import opened
from csp.transfer.estate.sizes import OBJECT_BYTES_MAX, OBJECT_BYTES_MIN
from csp.transfer.estate.writing import AGENTS_MAX, write_estate


class Counted:
    """Counts the bytes that go to a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self.size = 0
        self._stream = stream

    def write(self, data: bytes | bytearray) -> None:
        self.size += len(data)
        self._stream.write(data)


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
    with opened(output) as stream:
        counted = Counted(stream)
        count = write_estate(counted, agents, seed, object_bytes)
    size = counted.size
    if output == "-":
        return
    if as_json:
        report = {"objects": count, "bytes": size, "file": output, "agents": agents, "seed": seed}
        click.echo(orjson.dumps(report).decode())
    else:
        seconds = time.monotonic() - began
        click.echo(f"{output}: {count} objects, {size / 1e6:.1f} MB ({seconds:.1f} s)", err=True)
