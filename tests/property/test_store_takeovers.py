"""Kills one writer after the other in a small store: what is free stays of use."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.property.store_stage import PERSON, Item, Stage, entry, person
from tests.property.test_store_crash import dies_at

RESERVE_BYTES = 32 << 20
TAKEOVERS = 120
OBJECTS = 400
CHANGES = 24  # in the life of a writer
STEPS = 20  # of its walk, behind each fifth of them
FREE_BYTES = RESERVE_BYTES // 2  # so much is free at any time


def changes(chance: random.Random) -> Iterator[list[Item]]:
    """Updates of all sizes, and new objects that stay."""
    dbid = OBJECTS
    while True:
        items: list[Item] = []
        for one in chance.sample(range(1, OBJECTS), 2):
            text = b'{"a":"%s"}' % (b"x" * chance.choice([100, 600, 900, 5000]))
            items.append((PERSON, one, person(b"n%d" % one, chance.randrange(40), b"on", text)))
        if chance.random() < 0.3:
            dbid += 1
            items.append((PERSON, dbid, person(b"n%d" % dbid, dbid % 40, b"on")))
        yield items


def live(stage: Stage, each: Iterator[list[Item]]) -> None:
    """Takes over, and changes things until the failpoint."""
    stage.take_over()
    for number in range(10 * CHANGES):
        revision = stage.writer.published + 1
        stage.writer.apply(entry(revision, next(each), time_ms=revision))
        if number % 5 == 0:
            stage.writer.walk(steps=STEPS)
            stage.writer.reclaim()


@pytest.mark.parametrize("point", ["apply-start", "apply-before-publish"])
def test_free_memory_is_not_scattered_until_growth_is_refused(point: str) -> None:
    stage = Stage(reserve_bytes=RESERVE_BYTES, log_bytes=RESERVE_BYTES // 16)
    stage.load({
        (PERSON, dbid): person(b"n%d" % dbid, dbid % 40, b"on") for dbid in range(1, OBJECTS)
    })  # fmt: skip
    try:
        for number in range(TAKEOVERS):
            each = changes(random.Random(number))
            assert dies_at(point, CHANGES, lambda each=each: live(stage, each)), "it was refused"
        stage.take_over(check=True)
        figures = stage.writer.stat()
        assert figures["backed_bytes"] == RESERVE_BYTES
        assert figures["free_bytes"] > FREE_BYTES
        assert figures["held_bytes"] > 0
    finally:
        stage.close()
