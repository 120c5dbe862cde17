"""The tables of remembered keys against dictionaries: remembered, pending, oldest, and gone."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from csp._fastpath import TrackedKeys
from tests.effort import examples

Key = tuple[int, int, int]

SETS = st.integers(1, 4)
CLASSES = st.integers(1, 3)
# Few objects, so that sets meet; many more now and then, so that the tables grow and shrink.
DBIDS = st.integers(1, 12) | st.integers(1, 2**32 - 1)
BUCKETS_MIN = 64


class TrackedMachine(RuleBasedStateMachine):
    """Sets of keys, in the order in which they came; those dropped are freed by the piece."""

    def __init__(self) -> None:
        super().__init__()
        self.real = TrackedKeys()
        self.kept: dict[int, list[Key]] = {}
        self.pending: dict[int, list[Key]] = {}
        self.age: list[tuple[int, Key]] = []
        self.dropped = 0

    def _remember(self, number: int, key: Key) -> None:
        kept, pending = self.kept.setdefault(number, []), self.pending.setdefault(number, [])
        is_new = key not in kept and key not in pending
        assert self.real.remember(number, *key) is is_new
        if is_new:
            kept.append(key)
            self.age.append((number, key))

    @rule(number=SETS, class_id=CLASSES, dbid=DBIDS, zeros=st.integers(0, 3))
    def remember(self, number: int, class_id: int, dbid: int, zeros: int) -> None:
        self._remember(number, (class_id, dbid, zeros))

    @rule(number=SETS, first=st.integers(1, 400), count=st.integers(1, 200))
    def remember_many(self, number: int, first: int, count: int) -> None:
        for dbid in range(first, first + count):
            self._remember(number, (1, dbid, 0))

    @rule(class_id=CLASSES, dbid=DBIDS)
    def change(self, class_id: int, dbid: int) -> None:
        self.real.change(class_id, dbid)
        for number, kept in self.kept.items():
            hit = [key for key in kept if key[:2] == (class_id, dbid)]
            self.kept[number] = [key for key in kept if key not in hit]
            self.age = [one for one in self.age if one[0] != number or one[1] not in hit]
            # Those of one object come in the order of their chain, which nobody is promised.
            self.pending[number] += hit

    @rule(number=SETS)
    def tell(self, number: int) -> None:
        assert sorted(self.real.told(number)) == sorted(self.pending.get(number, []))
        self.pending[number] = []
        self.kept.setdefault(number, [])

    @rule(count=st.integers(1, 150))
    def evict(self, count: int) -> None:
        for _ in range(count):
            if not self.age:
                assert self.real.evict() is None
                return
            number, key = self.age.pop(0)
            assert self.real.evict() == (number, key)
            self.kept[number].remove(key)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.kept)))
        self.real.drop(number)
        self.dropped += len(self.kept.pop(number)) + len(self.pending.pop(number))
        self.age = [one for one in self.age if one[0] != number]

    @rule(most=st.integers(1, 100))
    def rest(self, most: int) -> None:
        self.real.rest(most)
        self.dropped -= min(most, self.dropped)

    @invariant()
    def lists_are_in_order(self) -> None:
        for number, kept in self.kept.items():
            assert self.real.remembered(number) == kept

    @invariant()
    def tables_follow_the_number(self) -> None:
        counts = self.real.counts()
        entries = sum(map(len, self.kept.values())) + sum(map(len, self.pending.values()))
        assert counts["entries"] == entries + self.dropped
        if counts["buckets"]:
            assert max(BUCKETS_MIN, counts["entries"]) >= counts["buckets"] // 2
            assert counts["buckets"] >= min(BUCKETS_MIN, counts["entries"])


TestTrackedMachine = TrackedMachine.TestCase
TestTrackedMachine.settings = examples(30, stateful_step_count=40)
