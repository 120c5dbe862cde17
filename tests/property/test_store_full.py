"""Fills a store beside readers: growth is refused soon, and nothing is lost for it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from csp._fastpath import StoreFull
from tests.property.store_stage import PERSON, Stage, entry, person

OBJECTS = 2000
GIVES_UP_SECONDS_MAX = 1.5  # the wait of one change, and what a busy machine adds
DELETED_SECONDS_MAX = 30.0
TEXT_BYTES = 2000
ROUND_BYTES = 256  # by so much a text grows from one round over all objects to the next
TURNS = itertools.count()


def loaded(log_bytes: int) -> Stage:
    stage = Stage(reserve_bytes=16 << 20, log_bytes=log_bytes)
    stage.load({
        (PERSON, dbid): person(b"n%d" % dbid, 1, b"enabled") for dbid in range(1, OBJECTS)
    })  # fmt: skip
    return stage


def grow_until_full(stage: Stage, objects: int = OBJECTS, turns: Iterator[int] = TURNS) -> float:
    """Changes or makes one object after the other; how long the change took that found no room."""
    for turn in turns:
        revision = stage.writer.published + 1
        dbid = 1 + turn % (objects - 1)
        # What does not grow may take the memory that is held back for deletes.
        text = b'{"z":"%s"}' % (b"Z" * (TEXT_BYTES + turn // (objects - 1) * ROUND_BYTES))
        change = entry(revision, [(PERSON, dbid, person(b"n%d" % dbid, 1, b"enabled", text))])
        began = time.monotonic()
        try:
            stage.writer.apply(change)
        except StoreFull:
            return time.monotonic() - began
    raise AssertionError("it never ends")


def delete(stage: Stage, dbid: int) -> None:
    """Deletes one object; where a reader stands on a busy machine, again."""
    until = time.monotonic() + DELETED_SECONDS_MAX
    while True:
        try:
            stage.writer.apply(entry(stage.writer.published + 1, [(PERSON, dbid, None)]))
            return
        except StoreFull:
            assert time.monotonic() < until


def test_a_standing_reader_costs_one_short_wait_and_nothing_of_the_log() -> None:
    stage = loaded(4 << 20)
    reader = stage.reader(60)
    reader.pin()
    try:
        assert grow_until_full(stage) < GIVES_UP_SECONDS_MAX
        kept = stage.writer.stat()["log_entries"]
        assert stage.writer.stat()["log_bytes"] > 3 << 20
        began = time.monotonic()
        for _ in range(10):
            grow_until_full(stage)
        assert time.monotonic() - began < GIVES_UP_SECONDS_MAX, "each of them waited anew"
        assert stage.writer.stat()["log_entries"] == kept
        delete(stage, 1)
        assert reader.get(PERSON, 1) is not None
    finally:
        reader.unpin()
        stage.close()


def test_when_the_reader_lets_go_growth_goes_on() -> None:
    stage = loaded(4 << 20)
    reader = stage.reader(60)
    reader.pin()
    try:
        grow_until_full(stage)
        reader.unpin()
        text = b'{"z":"' + b"Z" * TEXT_BYTES + b'"}'
        change = [(PERSON, 5, person(b"n5", 1, b"enabled", text))]
        stage.writer.apply(entry(stage.writer.published + 1, change))
        assert reader.get(PERSON, 5) == text
    finally:
        stage.close()


def test_what_shrinks_takes_the_whole_log_while_readers_move() -> None:
    """With the held memory in use, deletes go on while the log has something to give."""
    stage = loaded(4 << 20)
    stop = threading.Event()
    reader = stage.reader(0)

    def turns() -> None:
        while not stop.is_set():
            reader.probe(1)

    moving = threading.Thread(target=turns)
    moving.start()
    try:
        grow_until_full(stage, 1 << 20, itertools.count())
        for dbid in range(1, stage.writer.stat()["objects"] + 1):
            delete(stage, dbid)
        assert stage.writer.stat()["objects"] == 0
    finally:
        stop.set()
        moving.join()
        stage.close()


@pytest.mark.parametrize("slot", [3, 60])
def test_the_writer_knows_who_holds_memory_and_for_how_long(slot: int) -> None:
    stage = loaded(1 << 20)
    reader = stage.reader(slot)
    try:
        reader.pin()
        assert stage.writer.pins() == [], "nothing was replaced since: it holds nothing"
        stage.writer.apply(entry(2, [(PERSON, 1, None)]))
        stage.writer.reclaim()
        until = time.monotonic() + 10
        while not (held := stage.writer.pins()) or held[0][1] < 20:
            assert time.monotonic() < until
        assert [one[0] for one in held] == [slot]
        reader.unpin()
        assert stage.writer.pins() == []
        reader.pin()
        stage.writer.apply(entry(3, [(PERSON, 2, None)]))
        assert stage.writer.pins()[0][1] < held[0][1] + 1000, "a new announcement is a young one"
    finally:
        stage.close()
