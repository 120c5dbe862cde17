"""Measures what a change of rights costs the store, whatever lies below its object."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import click

from bench.report import Row, conclude
from tests.property.store_stage import (
    FOLDER_CLASS,
    GRANTS,
    PERSON,
    TENANT,
    Item,
    Stage,
    Thing,
    entry,
    granted,
    image,
    person,
)

CPU_MS_MAX = 20
ENTRY_BYTES_MAX = 4096  # beside the record of the group that changes
ACCESS_GROUP = 21
FOLDERS = 1_000
FLIPPED = 10_000  # members of the group
BATCH = 5_000
FIRST = 101
BYTES_AN_OBJECT = 1_000
PROPAGATED = 128 | 9  # R and X


@click.command()
@click.option("--objects", default=1_000_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def grants(objects: int, rounds: int, keep: bool) -> None:
    """The writer's CPU for grants on a tenant's root, and for a group that gives many objects."""
    stage = Stage(reserve_bytes=max(256 << 20, BYTES_AN_OBJECT * objects))
    try:
        _load(stage, objects)
        rows = [
            row
            for name, changes in (("root", _root(rounds)), ("group", _group(rounds)))
            for row in _rows(stage, name, changes)
        ]
    finally:
        stage.close()
    sys.exit(conclude("grants", rows, {"objects": objects, "folders": FOLDERS}, keep=keep))


def _load(stage: Stage, objects: int) -> None:
    """Persons in folders of one root folder of one tenant."""
    stage.writer.load_begin(b"stream-of-16-byt")
    stage.writer.load(image(TENANT, 1, 1, Thing(b"{}")))
    for dbid in range(1, FOLDERS + 1):
        above = (TENANT, 1) if dbid == 1 else (FOLDER_CLASS, 1)
        stage.writer.load(image(FOLDER_CLASS, dbid, 1, Thing(b"{}", (), above)))
    for first in range(0, objects, BATCH):
        numbers = range(first, min(first + BATCH, objects))
        stage.writer.load(b"".join(_person(number) for number in numbers))
    stage.writer.load_end(1, 7, 0)


def _person(number: int) -> bytes:
    dbid = FIRST + number
    return image(PERSON, dbid, 1, person(b"n%d" % dbid, 1 + number % FOLDERS, b"enabled"))


def _root(rounds: int) -> Iterator[list[Item]]:
    """What is granted on the tenant, then on its root folder, then taken away."""
    for number in range(rounds):
        users = {(ACCESS_GROUP, 99 + number): PROPAGATED}
        yield [(GRANTS, 1, granted((TENANT, 1), users))]
        marked = Thing(b"{}", (), (TENANT, 1), has_own_grants=True)
        root = (FOLDER_CLASS, 1)
        yield [(*root, marked), (GRANTS, 2, granted(root, users))]
        yield [(GRANTS, 1, None), (GRANTS, 2, None)]


def _group(rounds: int) -> Iterator[list[Item]]:
    """A group gets many members, and loses them."""
    for number in range(rounds):
        members = range(FIRST, FIRST + FLIPPED) if number % 2 == 0 else ()
        text = b'{"members":[%s]}' % b",".join(b"%d" % dbid for dbid in members)
        yield [(ACCESS_GROUP, 99, Thing(text, (), (FOLDER_CLASS, 2)))]


def _rows(stage: Stage, name: str, changes: Iterator[Sequence[Item]]) -> list[Row]:
    spent_ms, beside = [], []
    for items in changes:
        revision = stage.writer.published + 1
        made = entry(revision, items, time_ms=revision)
        own = sum(
            len(image(class_id, dbid, revision, thing))
            for class_id, dbid, thing in items
            if thing is not None and class_id == ACCESS_GROUP
        )
        began = time.process_time_ns()
        stage.writer.apply(made)
        spent_ms.append((time.process_time_ns() - began) / 1e6)
        beside.append(len(made) - own)
    click.echo(f"{name}: {max(spent_ms):.3f} ms CPU at most, {max(beside)} bytes of entry")
    return [
        Row(f"{name}, writer CPU", f"{CPU_MS_MAX} ms", [one / CPU_MS_MAX for one in spent_ms], 1.0),
        Row(
            f"{name}, entry beside the group", f"{ENTRY_BYTES_MAX} bytes",
            [one / ENTRY_BYTES_MAX for one in beside], 1.0,
        ),
    ]  # fmt: skip
