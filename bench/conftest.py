"""A store in memory, filled with made-up skills, for the micro benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from bench.skills import load_skills, skill, update_entry
from csp._fastpath import StoreReader, StoreWriter
from csp.model.types import FIRST_DBID
from tests.neighbours.memory_store import MemoryStore

OBJECTS = 100_000
PADDING = 400
RESERVE_BYTES = 1 << 30


@dataclass
class Bench:
    """A filled store and what makes changes for it."""

    writer: StoreWriter
    reader: StoreReader
    values: dict[int, int] = field(default_factory=dict)

    def next_entry(self, value: int) -> bytes:
        """A transaction that updates one skill."""
        revision = self.writer.published + 1
        dbid = FIRST_DBID + revision % OBJECTS
        before = skill(dbid, self.values.get(dbid, 0), padding=PADDING)
        self.values[dbid] = value
        after = skill(dbid, value, padding=PADDING)
        return update_entry(before, after, value, revision, self.writer.mark)


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    store = MemoryStore(RESERVE_BYTES)
    load_skills(store, OBJECTS, 0, padding=PADDING)
    yield Bench(store.writer, StoreReader(store.data_fd, store.control, 0))
    store.close()
