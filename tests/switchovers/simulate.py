"""Simulates switchovers by seed: the minds of a pair's halves, and of masters on one database.

1. The worlds are those of tests/property: real decisions (csp/feed/pair_mind.py,
   csp/master/seat.py) on pretended clocks, links and rows.  One seed is one world.
2. Counted is what changed who serves: numbers of a pair's row, fences of a database.
3. A world that fails is told with its seed, so that it can be run alone.
"""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass

import click

from tests.property import test_lease, test_pair_simulation
from tests.property.lease_world import LeaseWorld
from tests.property.pair_world import PairWorld

BATCH = 4  # worlds that a process runs before it tells
FAILED_MAX = 20  # more of them say nothing new


@dataclass(frozen=True)
class Kind:
    """What is simulated: `run` returns how many switchovers the world of a seed had."""

    name: str
    run: Callable[[int], int]


def _pair(seed: int) -> int:
    world = PairWorld(seed)
    world.run(test_pair_simulation.DEEDS)
    return world.master.row.number


def _masters(seed: int) -> int:
    world = LeaseWorld(seed)
    world.run(test_lease.STEPS)
    return int(world.row.fence)


KINDS = (Kind("pairs of proxies", _pair), Kind("masters on one database", _masters))


def simulate(switchovers: int, seed: int) -> list[str]:
    """So many, of each kind half; what failed, in words."""
    found: list[str] = []
    with multiprocessing.Pool() as pool:
        for number, kind in enumerate(KINDS):
            found += _simulate(pool, number, kind, switchovers // len(KINDS), seed)
    return found


def _simulate(
    pool: multiprocessing.pool.Pool, number: int, kind: Kind, wanted: int, seed: int
) -> list[str]:
    began, worlds, seen = time.monotonic(), 0, 0
    failed: list[str] = []
    seeds = itertools.count(seed, BATCH)
    while seen < wanted and len(failed) < FAILED_MAX:
        batches = [(number, next(seeds)) for _ in range(multiprocessing.cpu_count())]
        for count, problems in pool.imap_unordered(_run, batches):
            seen, worlds = seen + count, worlds + BATCH
            failed += problems
    click.echo(
        f"{kind.name}: {seen} switchovers in {worlds} worlds from seed {seed}, "
        f"{time.monotonic() - began:.0f} s, {len(failed)} worlds failed"
    )
    return [f"{kind.name}, {one}" for one in failed]


def _run(batch: tuple[int, int]) -> tuple[int, list[str]]:
    number, first = batch
    count, problems = 0, []
    for seed in range(first, first + BATCH):
        try:
            count += KINDS[number].run(seed)
        except AssertionError as problem:
            problems.append(f"seed {seed}: {problem}")
    return count, problems
