"""Loads and deletes objects whose DBIDs lie far apart: what the index costs, and that it ends."""

from __future__ import annotations

import random

import pytest

from tests.property.store_stage import PERSON, Stage, check_reader, image, person

OBJECTS = 20_000
BEYOND_JSON_MAX = 600
JSON = 2  # bytes: {}
TOP = 2**32 - 1


def used(dbids: list[int]) -> tuple[Stage, int]:
    """A store of persons with these DBIDs, and what they take."""
    stage = Stage(reserve_bytes=64 << 20)
    before = stage.writer.stat()["block_bytes"]
    stage.writer.load_begin(b"stream-of-16-byt")
    stage.writer.load(
        b"".join(image(PERSON, dbid, 1, person(b"n%d" % dbid, 1, b"e")) for dbid in dbids)
    )
    stage.writer.load_end(1, 7, 0)
    stage.states[1] = {(PERSON, dbid): person(b"n%d" % dbid, 1, b"e") for dbid in dbids}
    figures = stage.writer.stat()
    return stage, figures["block_bytes"] - before - figures["held_bytes"]


@pytest.mark.parametrize("stride", [1, 64, 1024])
def test_objects_far_apart_cost_little_more(stride: int) -> None:
    stage, taken = used([stride * number for number in range(1, OBJECTS + 1)])
    try:
        assert taken / OBJECTS <= BEYOND_JSON_MAX + JSON
        assert stage.reader(0).probe(1) == 0
    finally:
        stage.close()


def test_the_index_of_what_is_deleted_comes_back() -> None:
    chance = random.Random(4)
    dbids = sorted({*(chance.randrange(1, TOP) for _ in range(300)), 1, 16, 255, 256, TOP})
    stage, _ = used(dbids)
    try:
        reader = stage.reader(0)
        reader.pin()
        gone = dbids[:]
        chance.shuffle(gone)
        for first in range(0, len(gone), 20):
            stage.apply([(PERSON, dbid, None) for dbid in gone[first : first + 20]])
            check_reader(stage.reader(1), stage.states[stage.writer.published], [])
        check_reader(reader, stage.states[1], [])
        reader.unpin()
        for _ in range(4):
            stage.writer.reclaim()
        figures = stage.writer.stat()
        assert figures["objects"] == figures["pending"] == 0
        left = figures["used_bytes"] - figures["held_bytes"] - figures["log_bytes"]
        assert left < 120_000, "directories, counts, two roots, and the governing nodes' index"
        stage.apply([(PERSON, dbid, person(b"again", 1, b"e")) for dbid in dbids])
        check_reader(stage.reader(1), stage.states[stage.writer.published], [])
        stage.successor()
        assert stage.writer.walked()["records"] == len(dbids)
    finally:
        stage.close()
