"""Measures switchovers: the server of many sessions dies, another one takes them all.

Sessions of a compiled driver, some by TLS, and of stock libraries are subscribed while the master
is changed.  Counted are the time until the successor's port opens, until the last session is there
again (against the same sessions and a redis-server that is started in the place of one killed),
what had to be read anew, passwords hashed, changes missed and doubled.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import redis

from bench.cpu import cpu_seconds
from bench.fill import Filled, fill
from bench.halves import Halves, RedisInPlace, pair_of_two, two_singles
from bench.libraries import Libraries
from bench.report import Row, conclude
from bench.roaming import DESK, Crowd, MasterChanges, RedisChanges, Roamers, register_desk
from tests.neighbours.certificates import Authority
from tests.neighbours.server import Master

PROMOTION_SECONDS = 0.5
RESTORED_AT_MOST = 1.5
KEEPALIVE_SECONDS = 3  # of the pair's links
SUBSCRIBERS_OF_ONE = 25
OBJECT_BYTES = 600
BEFORE_SECONDS = 3.0  # of changes, before the server dies
BACK_SECONDS_MAX = 240.0
TOLD_SECONDS_MAX = 60.0
WAYS = {
    "single": "two single proxies, one killed",
    "kill": "a pair's primary killed",
    "freeze": "a pair's primary stopped (SIGSTOP)",
    "cut": "the pair's link cut, then its primary killed",
}


@dataclass(frozen=True)
class Seen:
    """One switchover."""

    opened: float  # seconds from the blow to the successor's open port
    restored: float  # to the last session of the driver
    libraries: float  # to the last session of the libraries
    cpu_ms: float  # of the successor, a session
    reread: int
    hashes: int
    missed: int
    doubled: int
    driver: dict[str, Any]
    problems: tuple[str, ...] = ()


@click.command()
@click.option("--sessions", default=10_000, show_default=True, help="Of the compiled driver.")
@click.option("--secured", default=1_000, show_default=True, help="Of these, by TLS.")
@click.option("--libraries", default=100, show_default=True, help="Of redis-py and csp.client.")
@click.option("--rate", default=200, show_default=True, help="Changes a second.")
@click.option("--rounds", default=1, show_default=True, help="Rounds of each row.")
@click.option("--way", "ways", multiple=True, type=click.Choice([*WAYS]), default=tuple(WAYS))
@click.option("--quick", is_flag=True, help="300 sessions; ends within a minute.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def switchover(
    sessions: int,
    secured: int,
    libraries: int,
    rate: int,
    rounds: int,
    ways: Sequence[str],
    quick: bool,
    keep: bool,
) -> None:
    """A server of many sessions dies; when its successor has them all, and what that cost."""
    if quick:
        sessions, secured, libraries = 300, 30, 6
    crowd = Crowd(sessions, secured)
    found: dict[str, list[Seen]] = {}
    for _ in range(rounds):
        found.setdefault("redis-server", []).append(_redis_round(crowd, rate))
        for way in ways:
            click.echo(f"{WAYS[way]}: {sessions} sessions, {secured} of them by TLS")
            found.setdefault(way, []).append(_round(way, crowd, libraries, rate))
    for name, seen in found.items():
        for one in seen:
            for problem in one.problems:
                click.echo(f"{name}: {problem}", err=True)
    rows = [row for way in ways for row in _rows(way, found[way], found["redis-server"], sessions)]
    notes: dict[str, Any] = {name: [asdict(one) for one in seen] for name, seen in found.items()}
    notes |= {"sessions": sessions, "secured": secured, "libraries": libraries, "rate": rate}
    sys.exit(conclude("switchover", rows, notes, keep=keep))


def _rows(way: str, seen: list[Seen], redis_seen: list[Seen], sessions: int) -> list[Row]:
    name = WAYS[way]
    promotion = 2.0 * KEEPALIVE_SECONDS if way == "freeze" else PROMOTION_SECONDS
    ratios = [a.restored / b.restored for a, b in zip(seen, redis_seen, strict=True)]
    rows = [
        Row(f"{name}: all restored", "redis-server", ratios, _restored_at_most(way)),
        Row(f"{name}: libraries restored", "s", [one.libraries for one in seen], None),
        Row(f"{name}: CPU a session", "ms", [one.cpu_ms for one in seen], None),
        Row(f"{name}: objects read again", "all", [float(one.reread) for one in seen], 0),
        Row(f"{name}: password hashes", "all", [float(one.hashes) for one in seen], 0),
        Row(f"{name}: changes missed", "all", [float(one.missed) for one in seen], 0),
        Row(f"{name}: changes doubled", "all", [float(one.doubled) for one in seen], 0),
        Row(
            f"{name}: sessions that did not come back",
            "all",
            [float(sessions - one.driver["live"] + len(one.problems)) for one in seen],
            0,
        ),
    ]
    if way != "single":
        rows.insert(0, Row(f"{name}: promotion", "s", [one.opened for one in seen], promotion))
    return rows


def _restored_at_most(way: str) -> float | None:
    """By SIGSTOP a session notices by its own keepalive alone, which no server can shorten."""
    return None if way == "freeze" else RESTORED_AT_MOST


def _round(way: str, crowd: Crowd, libraries: int, rate: int) -> Seen:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master = stack.enter_context(Master(folder))
        held = fill(master, "CfgPerson", _objects(crowd), OBJECT_BYTES)
        register_desk(master)
        halves = stack.enter_context(
            two_singles(folder, master)
            if way == "single"
            else pair_of_two(folder, master, keepalive=KEEPALIVE_SECONDS, cuttable=way == "cut")
        )
        halves.keep_apart()
        administrator = stack.enter_context(halves.administrator())
        changes = MasterChanges(master, held)
        stock = stack.enter_context(Libraries(libraries, held, halves.plain, DESK))
        crowded = stack.enter_context(Roamers(crowd, held, halves.plain, halves.secured))
        with changes.author(rate):
            time.sleep(BEFORE_SECONDS)
            seen = _struck(way, halves, administrator, crowded, stock)
        # The master orders what came before first: whoever is told of this was told of all.
        last = changes.all_once()
        told = crowded.reach(last, TOLD_SECONDS_MAX)
        behind = stock.behind(last, TOLD_SECONDS_MAX)
        missed = told["missed"] + behind + sum(one.missed for one in stock.all)
        return Seen(
            **seen, missed=missed, doubled=told["doubled"], driver=told, problems=_problems(stock)
        )


def _problems(stock: Libraries) -> tuple[str, ...]:
    return tuple(f"{one.name}: {one.problem}" for one in stock.all if one.problem)


def _struck(
    way: str, halves: Halves, administrator: redis.Redis, crowded: Roamers, stock: Libraries
) -> dict[str, Any]:
    """The blow, and what all saw until they were there again."""
    successors = list(halves.second.children().values())
    hashes, cpu = _hashes(administrator), cpu_seconds(successors)
    crowded.mark()
    when, opening = halves.strike(way)
    told = crowded.wait(crowded.crowd.sessions, BACK_SECONDS_MAX)
    libraries = stock.restored(when, BACK_SECONDS_MAX)
    return {
        "opened": opening.opened() - when,
        "restored": told["last_restored"] - when,
        "libraries": libraries.last_restored - when,
        "cpu_ms": (cpu_seconds(successors) - cpu) / crowded.crowd.sessions * 1e3,
        "reread": told["reread"] + libraries.resyncs,
        "hashes": _hashes(administrator) - hashes,
    }


def _hashes(administrator: redis.Redis) -> int:
    return int(administrator.execute_command("CFG.METRICS")["auth"]["hashes"])


def _redis_round(crowd: Crowd, rate: int) -> Seen:
    """The same sessions, whose redis-server is killed and replaced."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        certificate = Authority(folder / "authority").issue()
        server = stack.enter_context(RedisInPlace(certificate))
        held = Filled("CfgPerson", 1, _objects(crowd), OBJECT_BYTES)
        crowded = stack.enter_context(
            # The list has two addresses, as the other's has: the one in its place is the same.
            Roamers(crowd, held, [server.port] * 2, [server.secured] * 2, application="-")
        )
        with RedisChanges(server.port, held).author(rate):
            time.sleep(BEFORE_SECONDS)
            crowded.mark()
            when, opening = server.replace()
            told = crowded.wait(crowd.sessions, BACK_SECONDS_MAX)
        opened = opening.opened() - when
        return Seen(opened, told["last_restored"] - when, 0.0, 0.0, 0, 0, 0, 0, told)


def _objects(crowd: Crowd) -> int:
    return max(1, crowd.sessions // SUBSCRIBERS_OF_ONE)
