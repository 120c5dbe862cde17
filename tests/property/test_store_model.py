"""Drives the store by random transactions against a dict of versions, with pinned readers."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from csp._fastpath import StoreCorrupt, StoreFull, StoreReader
from tests.effort import examples
from tests.property.store_stage import (
    FOLDER,
    GROUP,
    GROUP_OF,
    NAME,
    PERSON,
    STATE,
    Item,
    Stage,
    Thing,
    check_reader,
    entry,
    group,
    image,
    number,
    person,
)

NAMES = [b"ada", b"bob", b"", b"x" * 255, "jürgen".encode(), b"eve"]
STATES = [b"enabled", b"disabled"]
ASKED = [
    *((NAME, name) for name in NAMES),
    *((FOLDER, number(folder)) for folder in range(4)),
    *((STATE, state) for state in STATES),
    *((GROUP_OF, number(dbid)) for dbid in range(1, 9)),
]
# DBIDs beside each other and at the borders of the radix.
dbids = st.sampled_from([1, 2, 3, 5, 8, 1023, 1024, 1025, 2**21 - 1, 2**21, 2**32 - 1])
texts = st.binary(max_size=12) | st.integers(50, 40_000).map(lambda size: b"t" * size)
persons = st.builds(
    person, st.sampled_from(NAMES), st.integers(0, 3), st.sampled_from(STATES), texts
)
group_numbers = st.integers(1, 8)


@st.composite
def items(draw: st.DrawFn) -> Item:
    if draw(st.booleans()):
        return PERSON, draw(dbids), draw(st.none() | persons)
    dbid = draw(group_numbers)
    members = draw(st.none() | st.sets(dbids))
    return GROUP, dbid, None if members is None else group(dbid, members)


class StoreMachine(RuleBasedStateMachine):
    """One writer, up to four readers, each pinned at a revision of its own."""

    @initialize(collide=st.booleans(), first=st.lists(items(), max_size=12))
    def begin(self, collide: bool, first: list[Item]) -> None:
        self.stage = Stage(collide=collide, log_bytes=1 << 20)
        things = {(cls, dbid): thing for cls, dbid, thing in first if thing is not None}
        self.stage.load(things)
        self.readers: dict[int, tuple[StoreReader, int]] = {}

    def teardown(self) -> None:
        if hasattr(self, "stage"):
            self.stage.close()

    def change(self, changes: list[Item]) -> None:
        """A transaction; what pinned readers hold may leave no room for it."""
        before = self.stage.writer.published
        try:
            self.stage.apply(changes)
        except StoreFull:
            assert self.readers
            assert self.stage.writer.published == before

    @rule(changes=st.lists(items(), min_size=1, max_size=8))
    def apply(self, changes: list[Item]) -> None:
        self.change(changes)

    @rule(start=st.integers(1, 3000), count=st.integers(1, 1500), step=st.integers(1, 5),
          state=st.sampled_from([None, *STATES]))  # fmt: skip
    def change_many(self, start: int, count: int, step: int, state: bytes | None) -> None:
        """Large lists: leaves are split, joined, and fall back to the inline form."""
        self.change([
            (PERSON, dbid, None if state is None else person(b"n%d" % (dbid % 7), 3, state))
            for dbid in range(start, start + count * step, step)
        ])  # fmt: skip

    @precondition(lambda self: len(self.readers) < 4)
    @rule()
    def pin(self) -> None:
        slot = next(slot for slot in range(4) if slot not in self.readers)
        reader = self.stage.reader(slot)
        revision = reader.pin()
        assert revision == self.stage.writer.published
        self.readers[slot] = reader, revision

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.readers)))
        self.readers.pop(slot)[0].unpin()

    @rule()
    def reclaim(self) -> None:
        self.stage.writer.reclaim()

    @rule()
    def take_over(self) -> None:
        figures = self.stage.successor()
        assert figures["redone"] == 0
        live = len(self.stage.states[self.stage.writer.published])
        assert figures["records"] - figures["tombstones"] == live

    @rule()
    def fill_up(self) -> None:
        """Growing until it is full changes nothing but what was acknowledged; deleting goes on."""
        text = b"f" * 3_000_000
        while True:
            try:
                self.stage.apply([(GROUP, 100, Thing(text)), (GROUP, 101, Thing(text))])
                text += b"f" * 1_000_000
            except StoreFull:
                break
        self.change([(GROUP, 101, None)])
        self.change([(GROUP, 100, None)])

    @invariant()
    def pinned_readers_see_their_revision(self) -> None:
        for reader, revision in getattr(self, "readers", {}).values():
            assert reader.revision == revision
            check_reader(reader, self.stage.states[revision], ASKED)

    @invariant()
    def a_new_reader_sees_the_newest(self) -> None:
        if not hasattr(self, "stage"):
            return
        reader = self.stage.reader(60)
        revision = reader.pin()
        try:
            check_reader(reader, self.stage.states[revision], ASKED)
        finally:
            reader.unpin()
        assert reader.probe(1) == 0


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = examples(
    12,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("collide", [False, True])
def test_many_objects_loaded_and_changed_read_as_the_model_says(collide: bool) -> None:
    chance = random.Random(5)
    size = 400 if collide else 5000
    stage = Stage(reserve_bytes=64 << 20, collide=collide)
    try:
        stage.load({
            (PERSON, dbid): person(b"user%d" % dbid, dbid % 9, STATES[dbid % 2])
            for dbid in range(1, size)
        })  # fmt: skip
        for _ in range(300):
            stage.apply([
                (PERSON, chance.randrange(1, size), None if chance.random() < 0.4 else
                 person(b"user%d" % chance.randrange(size), chance.randrange(9), STATES[0]))
                for _ in range(chance.randrange(1, 20))
            ])  # fmt: skip
        reader = stage.reader(0)
        check_reader(reader, stage.states[stage.writer.published], ASKED)
        assert reader.probe(1) == 0
        before = stage.writer.stat()
        stage.writer.reclaim()
        stage.successor()
        stage.writer.reclaim()
        after = stage.writer.stat()
        assert after["used_bytes"] == stage_used(before)
        check_reader(reader, stage.states[stage.writer.published], ASKED)
    finally:
        stage.close()


def stage_used(before: dict[str, int]) -> int:
    """What a walk must find in use: all but what waits to be freed (nobody was pinned)."""
    return before["used_bytes"] - before["pending_bytes"]


def test_memory_of_replaced_versions_comes_back() -> None:
    stage = Stage(reserve_bytes=16 << 20, log_bytes=1 << 18)
    try:
        stage.load({})
        for turn in range(3000):
            stage.apply(
                [(PERSON, 1 + turn % 50, person(b"n%d" % turn, turn % 5, STATES[0], b"t" * 5000))]
            )
        assert stage.writer.stat()["backed_bytes"] <= 16 << 20
        for dbid in range(1, 51):
            stage.apply([(PERSON, dbid, None)])
        for _ in range(4):
            stage.writer.reclaim()
        figures = stage.writer.stat()
        assert figures["names"] == figures["lists"] == figures["pending"] == 0
        assert figures["objects"] == 0
    finally:
        stage.close()


def test_an_older_image_is_skipped_while_loading() -> None:
    stage = Stage()
    try:
        writer = stage.writer
        writer.load_begin(b"0" * 16)
        writer.load(image(PERSON, 1, 5, person(b"new", 1, STATES[0], b"new")))
        writer.load(image(PERSON, 1, 4, person(b"old", 1, STATES[0], b"old")))
        writer.load(image(PERSON, 2, 3, person(b"gone", 1, STATES[0])))
        writer.load_entry(entry(6, [(PERSON, 2, None)]))
        writer.load(image(PERSON, 2, 5, person(b"gone", 1, STATES[0])))
        writer.load_end(6, 1, 2)
        reader = stage.reader(0)
        assert (reader.published, reader.mark, reader.time_ms) == (6, 1, 2)
        assert reader.select(PERSON, [], 0, 9) == [1]
        assert reader.get(PERSON, 1) == b"new"
        assert reader.find(NAME, b"gone") == reader.find(NAME, b"old") == []
        assert reader.find(FOLDER, number(1)) == [1]
    finally:
        stage.close()


def test_seeded_history_can_be_read_and_goes_on() -> None:
    stage = Stage()
    try:
        writer = stage.writer
        writer.load_begin(b"0" * 16)
        history = {revision: entry(revision, [(PERSON, 1, None)]) for revision in (4, 5, 6)}
        for revision in (4, 5):
            writer.seed_log(history[revision])
        writer.load_end(6, 1, 2)
        reader = stage.reader(0)
        assert reader.oldest == 7
        writer.seed_log(history[6])
        assert reader.oldest == 4
        stage.states[6] = {}
        stage.apply([(PERSON, 1, person(b"a", 1, STATES[0]))])
        assert [reader.raw_entry(revision) for revision in (3, 4, 5, 6)] == [
            None,
            *history.values(),
        ]
        assert reader.raw_entry(7) is not None
        stage.successor()
        assert reader.raw_entry(4) == history[4]
    finally:
        stage.close()


def test_an_object_without_a_number_is_refused() -> None:
    """No walk would come to it: a successor would take its names for nobody's."""
    stage = Stage()
    try:
        nobody = person(b"nobody", 1, STATES[0])
        stage.writer.load_begin(b"0" * 16)
        with pytest.raises(StoreCorrupt):
            stage.writer.load(image(PERSON, 0, 1, nobody))
        stage.writer.load_end(1, 7, 0)
        for thing in (nobody, None):
            with pytest.raises(StoreCorrupt):
                stage.writer.apply(entry(2, [(PERSON, 0, thing)]))
        assert stage.reader(0).find(NAME, b"nobody") == []
    finally:
        stage.close()


def test_the_writer_gives_back_what_one_huge_change_took() -> None:
    stage = Stage(reserve_bytes=64 << 20)
    try:
        stage.load({})
        before = stage.writer.stat()["private_bytes"]
        many = [(PERSON, dbid, person(b"n%d" % dbid, dbid, STATES[0])) for dbid in range(1, 30_000)]
        stage.apply(many)
        stage.apply([(PERSON, dbid, None) for _, dbid, _ in many])
        for _ in range(4):
            stage.writer.reclaim()
        stage.apply([(PERSON, 1, person(b"one", 1, STATES[0]))])
        assert stage.writer.stat()["private_bytes"] <= before + (4 << 20)
    finally:
        stage.close()
