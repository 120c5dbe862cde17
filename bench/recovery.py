"""Measures how long changes wait after the writer was killed, and how long its successor walks.

The writer dies in a process of its own between the intent and the publication of a change; another
one takes the store over, completes the change and publishes the next one.  What is measured is the
store's part: the start of a process and the way to its database come on top, some 0.2 s.
"""

from __future__ import annotations

import os
import sys
import time

import click

from bench.report import Row, conclude
from csp._fastpath import arm_failpoint
from tests.property.store_stage import PERSON, Stage, Thing, entry, image, person

SECONDS_MAX = 1.0
BYTES_AN_OBJECT = 1_000  # reserved; such a small person takes some 400
BATCH = 5_000
WALK_MS = 5  # of the writer's turn: csp/writer/process.py


@click.command()
@click.option("--objects", multiple=True, default=(300_000, 5_000_000), show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def recovery(objects: tuple[int, ...], rounds: int, keep: bool) -> None:
    """From a killed writer's death to the next published change, and the longest turn after it."""
    rows: list[Row] = []
    notes: dict[str, object] = {}
    for count in objects:
        stage = _filled(count)
        try:
            found = [_killed(stage) for _ in range(rounds)]
        finally:
            stage.close()
        published, turns, walked = ([one[i] for one in found] for i in range(3))
        rows.append(Row(f"publishes again, {count} objects", "1 s", published, SECONDS_MAX))
        notes[f"longest_turn_s_{count}"] = turns
        notes[f"walk_s_{count}"] = walked
        click.echo(
            f"{count} objects: published after {max(published):.3f} s, the walk took"
            f" {max(walked):.2f} s in turns of {max(turns) * 1000:.1f} ms at most"
        )
    sys.exit(conclude("recovery", rows, notes, keep=keep))


def _filled(count: int) -> Stage:
    stage = Stage(reserve_bytes=max(64 << 20, count * BYTES_AN_OBJECT))
    stage.writer.load_begin(b"stream-of-16-byt")
    for first in range(1, count + 1, BATCH):
        dbids = range(first, min(first + BATCH, count + 1))
        stage.writer.load(b"".join(image(PERSON, dbid, 1, _person(dbid)) for dbid in dbids))
    stage.writer.load_end(1, 7, 0)
    return stage


def _person(dbid: int, change: int = 0) -> Thing:
    return person(b"n%d.%d" % (dbid, change), dbid % 50, b"enabled")


def _killed(stage: Stage) -> tuple[float, float, float]:
    """Seconds to the next published change, of the longest turn of the walk, of all of it."""
    revision = stage.writer.published + 1
    child = os.fork()
    if child == 0:
        arm_failpoint("apply-word")
        stage.writer.apply(entry(revision, [(PERSON, 7, _person(7, revision))]))
        os._exit(1)
    os.waitpid(child, 0)
    began = time.monotonic()
    stage.take_over()
    assert stage.writer.published == revision
    stage.writer.apply(entry(revision + 1, [(PERSON, 9, _person(9, revision))]))
    published = time.monotonic() - began
    longest, began = 0.0, time.monotonic()
    more = True
    while more:
        turn = time.monotonic()
        more = stage.writer.walk(WALK_MS)
        longest = max(longest, time.monotonic() - turn)
    return published, longest, time.monotonic() - began
