"""Measures what an object takes in memory beyond its JSON, by how far apart the DBIDs lie."""

from __future__ import annotations

import sys

import click

from bench.report import Row, conclude
from tests.property.store_stage import PERSON, Stage, image, person

BYTES_MAX = 600
JSON = b"{}"
BATCH = 5_000
STRIDES = (1, 64, 1024)


@click.command()
@click.option("--objects", default=100_000, show_default=True)
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def sparse(objects: int, keep: bool) -> None:
    """Bytes of an object beyond its JSON: record, brief form, keys, name, lists and index."""
    rows = []
    for stride in STRIDES:
        taken = _taken(objects, stride)
        name = f"DBIDs {stride} apart, bytes beyond JSON"
        rows.append(Row(name, f"{BYTES_MAX} bytes", [taken / BYTES_MAX], 1.0))
        click.echo(f"DBIDs {stride} apart: {taken:.0f} bytes an object beyond its JSON")
    sys.exit(conclude("sparse", rows, {"objects": objects}, keep=keep))


def _taken(objects: int, stride: int) -> float:
    stage = Stage(reserve_bytes=max(64 << 20, 2_000 * objects))
    try:
        before = stage.writer.stat()["block_bytes"]
        stage.writer.load_begin(b"stream-of-16-byt")
        for first in range(1, objects + 1, BATCH):
            numbers = range(first, min(first + BATCH, objects + 1))
            stage.writer.load(b"".join(_image(number * stride) for number in numbers))
        stage.writer.load_end(1, 7, 0)
        figures = stage.writer.stat()
        block_bytes = figures["block_bytes"] - figures["held_bytes"] - before
        return block_bytes / objects - len(JSON)
    finally:
        stage.close()


def _image(dbid: int) -> bytes:
    return image(PERSON, dbid, 1, person(b"n%d" % dbid, dbid % 50, b"enabled", JSON))
