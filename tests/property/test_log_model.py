"""The change log against a list: what is in it, what was trimmed, and what a cursor then sees."""

from __future__ import annotations

from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.effort import examples
from tests.property.store_stage import PERSON, Stage, entry, person

LOG_BYTES = 24_000
SIZES = (10, 1_000, 9_000, 40_000)  # of an object; the last alone is more than the log may hold
changes = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(SIZES)), min_size=1, max_size=6)


class LogMachine(RuleBasedStateMachine):
    """One writer, its successors, and cursors that fall behind."""

    @initialize(seeded=st.integers(0, 3))
    def begin(self, seeded: int) -> None:
        self.stage = Stage(reserve_bytes=16 << 20, log_bytes=LOG_BYTES)
        writer = self.stage.writer
        first = 1 + seeded
        self.entries = {r: entry(r, [(PERSON, 9, None)]) for r in range(2, first + 1)}
        writer.load_begin(b"stream-of-16-byt")
        for revision in self.entries:
            writer.seed_log(self.entries[revision])
        writer.load_end(first, 7, 0)
        self.stage.states[first] = {}
        self.reader = self.stage.reader(0)
        self.cursors: list[int] = []  # the revision that each takes next
        self.oldest = self.reader.oldest
        assert self.oldest == (2 if seeded else first + 1)

    def teardown(self) -> None:
        if hasattr(self, "stage"):
            self.stage.close()

    @rule(made=changes)
    def change(self, made: list[tuple[int, int]]) -> None:
        for dbid, size in made:
            revision = self.stage.writer.published + 1
            thing = person(b"n%d" % dbid, revision % 5, b"enabled", b"t" * size)
            data = entry(revision, [(PERSON, dbid, thing)], time_ms=revision)
            self.stage.writer.apply(data)
            self.stage.note(revision, [(PERSON, dbid, thing)])
            self.entries[revision] = data

    @rule()
    def take_over(self) -> None:
        before = self.stage.writer.stat()["log_bytes"]
        assert self.stage.successor()["redone"] == 0
        assert self.stage.writer.stat()["log_bytes"] == before

    @rule()
    def reclaim(self) -> None:
        self.stage.writer.reclaim()

    @precondition(lambda self: len(self.cursors) < 3)
    @rule(whole=st.booleans())
    def begin_to_follow(self, whole: bool) -> None:
        """From what is held, or from now on."""
        self.cursors.append(self.reader.oldest if whole else self.reader.published + 1)

    @precondition(lambda self: self.cursors)
    @rule(data=st.data(), count=st.integers(1, 8))
    def follow(self, data: st.DataObject, count: int) -> None:
        """A cursor takes what comes next, without a gap, or learns that there is one."""
        at = data.draw(st.integers(0, len(self.cursors) - 1))
        for _ in range(count):
            revision = self.cursors[at]
            found = self.reader.raw_entry(revision)
            if found is None and revision <= self.reader.published:
                assert revision < self.reader.oldest
                self.cursors[at] = self.reader.oldest
            elif found is not None:
                assert found == self.entries[revision]
                self.cursors[at] += 1

    @invariant()
    def the_newest_are_held(self) -> None:
        if not hasattr(self, "stage"):
            return
        oldest, published = self.reader.oldest, self.reader.published
        assert oldest >= self.oldest
        assert oldest <= published + 1
        self.oldest = oldest
        held = range(oldest, published + 1)
        for revision in range(1, published + 3):
            expected = self.entries[revision] if revision in held else None
            assert self.reader.raw_entry(revision) == expected
        sizes = [len(self.entries[revision]) for revision in held]
        assert self.stage.writer.stat()["log_bytes"] == sum(sizes)
        assert sum(sizes) <= LOG_BYTES or len(sizes) == 1


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = examples(
    20, stateful_step_count=20, suppress_health_check=list(HealthCheck)
)
