"""Measures a rolling restart of a pool: three proxies behind a real HAProxy, one after the other.

Each is drained, stopped and started again while thousands of sessions read, and are told of changes
at a steady rate.  Whoever was told to go must lose no request by it, and nobody a change.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench.fill import fill
from bench.halves import LEVEL
from bench.report import Row, conclude
from bench.roaming import Crowd, MasterChanges, Roamers, register_desk
from bench.switchover import OBJECT_BYTES, SUBSCRIBERS_OF_ONE, TOLD_SECONDS_MAX
from tests.neighbours.haproxy import HAProxy
from tests.neighbours.server import Master, Proxy
from tests.neighbours.waiting import wait_until

PROXIES = 3
REQUEST_MS = 5_000  # from one read of a session to its next
BACK_SECONDS_MAX = 240.0
UP_SECONDS_MAX = 60.0
BEFORE_SECONDS = 3.0
CHECKS = "    option redis-check\n    balance leastconn"


@dataclass(frozen=True)
class Rolled:
    """One rolling restart."""

    seconds: float
    told: dict[str, Any]  # by the sessions


@click.command()
@click.option("--sessions", default=5_000, show_default=True, help="Of the compiled driver.")
@click.option("--rate", default=200, show_default=True, help="Changes a second.")
@click.option("--over", default=10, show_default=True, help="Seconds, of each drain.")
@click.option("--rounds", default=1, show_default=True, help="Rounds of each row.")
@click.option("--quick", is_flag=True, help="150 sessions; ends within a minute.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def pool(sessions: int, rate: int, over: int, rounds: int, quick: bool, keep: bool) -> None:
    """A rolling restart of three proxies behind HAProxy, under reads and changes."""
    if quick:
        sessions, over = 150, 2
    crowd = Crowd(sessions, 0, request_ms=REQUEST_MS)
    seen = [_round(crowd, rate, over) for _ in range(rounds)]
    rows = [
        Row(f"rolling restart, {sessions} sessions: {what}", "all", values, limit)
        for what, values, limit in (
            ("failed requests of those told", [_of(one, "failed_told") for one in seen], 0),
            ("failed requests in all", [_of(one, "failed") for one in seen], None),
            ("sessions told to go", [_of(one, "moving") for one in seen], None),
            ("changes missed", [_of(one, "missed") for one in seen], 0),
            ("changes doubled", [_of(one, "doubled") for one in seen], 0),
            ("objects read again", [_of(one, "resyncs") for one in seen], 0),
            ("sessions that did not come back", [_away(one) for one in seen], 0),
            ("seconds", [one.seconds for one in seen], None),
        )
    ]
    notes: dict[str, Any] = {"sessions": sessions, "over": over, "rounds": [vars(o) for o in seen]}
    sys.exit(conclude("pool", rows, notes, keep=keep))


def _of(rolled: Rolled, what: str) -> float:
    return float(rolled.told[what])


def _away(rolled: Rolled) -> float:
    return float(rolled.told["sessions"] - rolled.told["live"])


def _round(crowd: Crowd, rate: int, over: int) -> Rolled:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master = stack.enter_context(Master(folder))
        held = fill(master, "CfgPerson", max(1, crowd.sessions // SUBSCRIBERS_OF_ONE), OBJECT_BYTES)
        register_desk(master)
        extra = ("--create-app", *LEVEL)
        proxies = [
            stack.enter_context(Proxy(folder, master, app=f"member{number}", extra=extra))
            for number in range(PROXIES)
        ]
        balancer = stack.enter_context(HAProxy(folder, CHECKS, [one.port for one in proxies]))
        _wait_up(balancer)
        changes = MasterChanges(master, held)
        crowded = stack.enter_context(Roamers(crowd, held, [balancer.port], []))
        with changes.author(rate):
            time.sleep(BEFORE_SECONDS)
            crowded.mark()
            began = time.monotonic()
            for number, proxy in enumerate(proxies):
                click.echo(f"{proxy.app}: drained over {over} s, stopped, started")
                _restart(proxy, over)
                _wait_up(balancer, number)
                crowded.wait(0, BACK_SECONDS_MAX)
            seconds = time.monotonic() - began
        told = crowded.reach(changes.all_once(), TOLD_SECONDS_MAX)
        return Rolled(seconds, told)


def _restart(proxy: Proxy, over: int) -> None:
    """As an administrator would who wants nobody to notice."""
    with proxy.client() as client:
        client.execute_command("CFG.DRAIN", "OVER", over)
    time.sleep(over + 1)
    assert proxy.process is not None
    proxy.process.terminate()
    proxy.process.wait()
    proxy.start()


def _wait_up(balancer: HAProxy, *numbers: int) -> None:
    for number in numbers or range(PROXIES):
        wait_until(lambda number=number: balancer.state(number) == "UP", UP_SECONDS_MAX, "it is UP")
