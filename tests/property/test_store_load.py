"""Loads objects with many names and many values of their filter keys: all are found afterwards."""

from __future__ import annotations

from tests.property.store_stage import (
    GROUP,
    PERSON,
    Stage,
    State,
    Thing,
    check_reader,
    group,
    person,
)

PERSONS = 4_000
FOLDERS = 1_500  # lists with more than one object, and not in the order of their first ones
TEXTS = 997


def things() -> State:
    """Persons with a name each, a folder of some and a state of few; groups of several of them."""
    found: dict[tuple[int, int], Thing] = {
        (PERSON, dbid): person(b"name%d" % dbid, 1 + dbid * 7 % FOLDERS, b"s%d" % (dbid % TEXTS))
        for dbid in range(1, PERSONS + 1)
    }
    for dbid in range(1, PERSONS // 10):
        found[GROUP, dbid] = group(dbid, {dbid, dbid * 3 % PERSONS + 1, dbid * 5 % PERSONS + 1})
    return found


def test_all_names_and_lists_of_a_load_are_there() -> None:
    stage = Stage(reserve_bytes=64 << 20)
    try:
        stage.load(things())
        check_reader(stage.reader(0), stage.states[1], [])
        changed = [(PERSON, dbid, person(b"new%d" % dbid, 3, b"e")) for dbid in range(1, 400)]
        gone = [(PERSON, dbid, None) for dbid in range(400, 800)]
        revision = stage.apply([*changed, *gone])
        check_reader(stage.reader(1), stage.states[revision], [])
        stage.successor()
        assert stage.writer.walked()["records"] >= PERSONS - len(gone)
        check_reader(stage.reader(1), stage.states[revision], [])
    finally:
        stage.close()
