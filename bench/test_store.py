"""Micro benchmarks of the store from Python: one look-up, one change, with its building."""

from __future__ import annotations

import itertools
import random

from bench.conftest import OBJECTS, Bench
from bench.skills import SKILL
from csp.model.types import FIRST_DBID


def test_find_one_object(bench: Bench, benchmark) -> None:
    chance = random.Random(1)
    dbids = itertools.cycle(
        [chance.randrange(FIRST_DBID, FIRST_DBID + OBJECTS) for _ in range(10_000)]
    )
    bench.reader.pin()
    found = benchmark(lambda: bench.reader.get(SKILL.id, next(dbids)))
    bench.reader.unpin()
    assert found is not None
    assert found.startswith(b'{"class":"CfgSkill","DBID":')


def test_apply_one_change(bench: Bench, benchmark) -> None:
    values = itertools.count(1)
    applied = bench.writer.published

    def prepare() -> tuple[tuple[bytes], dict[str, object]]:
        return (bench.next_entry(next(values)),), {}

    benchmark.pedantic(bench.writer.apply, setup=prepare, rounds=2_000)
    assert bench.writer.published == applied + 2_000


def test_build_one_change(bench: Bench, benchmark) -> None:
    values = itertools.count(1)
    entry = benchmark(lambda: bench.next_entry(next(values)))
    assert len(entry) % 8 == 0
