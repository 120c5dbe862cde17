"""Measures what proxies cost their master that join together: all at it, or behind two of them.

1. Counted from the first start until all are level: the CPU of the master's processes beyond what
   they use at rest, and what its workers send. The two in the middle join in that time too.
2. Then one in the middle is killed: its proxies go on at the other one, which sends them what they
   miss. That is held against what one load sends.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench.cpu import cpu_seconds
from bench.filled import LOAD_SECONDS_MAX, filled_master
from bench.report import Row, conclude
from csp._fastpath import Control
from csp.store import segment
from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until

SHARE_AT_MOST = 1 / 5
RESUME_AT_MOST = 1 / 20
TURN_MS_AT_MOST = 10.0
OBJECT_BYTES = 550
MASTER_DBID = 99
HERE = "127.0.0.1"
LOADED = "51302"  # the event of a load
REST_SECONDS = 10.0  # in which it is seen what the master does by itself
COUNTED_SECONDS = 0.2  # the counters of a worker are so old at most
FAILED_OVER_SECONDS_MAX = 120.0
MISSED = 20  # changes while the one in the middle is away


@click.command()
@click.option("--proxies", default=20, show_default=True, help="That join together.")
@click.option("--objects", default=100_000, show_default=True, help="Objects of the master.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def join(proxies: int, objects: int, keep: bool) -> None:
    """Many proxies that start together, at one master and behind two proxies of it."""
    notes: dict[str, object] = {"proxies": proxies, "objects": objects}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master, _ = filled_master(stack, folder / "master", objects, OBJECT_BYTES)
        site = _Site(master, folder)
        direct = site.joins([site.proxy(f"direct{number}", []) for number in range(proxies)])
        with ExitStack() as chain:
            spent = _Spent(master, site.at_rest)
            middles = [site.proxy(f"middle{number}", []) for number in range(2)]
            site.start(chain, middles)
            for one in middles:  # their own start is not what their clients feel
                _Spent(one)
            below = [
                site.proxy(f"below{number}", [middles[number % 2], middles[1 - number % 2]])
                for number in range(proxies)
            ]
            site.start(chain, below)
            through = spent.so_far()
            turns = {one.app: _longest_ms(one) for one in (master, *middles)}
            resumed = site.fails_over(middles, below, direct.sent_bytes / proxies)
    notes |= {"direct": vars(direct), "through": vars(through), "turns_ms": turns} | resumed
    what = f"{proxies} proxies of {objects} objects"
    rows = [
        Row(f"{what} behind two: the master's CPU", "all at it",
            [through.cpu_seconds / direct.cpu_seconds], SHARE_AT_MOST),
        Row(f"{what} behind two: bytes it sends", "all at it",
            [through.sent_bytes / direct.sent_bytes], SHARE_AT_MOST),
        Row(f"{what} at one master: its longest turn", "ms", [direct.turn_ms], TURN_MS_AT_MOST),
        Row(f"{what} behind two: the master's longest turn", "ms", [through.turn_ms],
            TURN_MS_AT_MOST),
        Row("the same: the longest turn of the two", "ms",
            [max(turns[one.app] for one in middles)], TURN_MS_AT_MOST),
        Row("a failed-over proxy's resume: bytes", "a load", [resumed["share"]], RESUME_AT_MOST),
    ]  # fmt: skip
    sys.exit(conclude("join", rows, notes, keep=keep))


@dataclass(frozen=True)
class Spent:
    """What a master has spent."""

    cpu_seconds: float
    sent_bytes: int
    seconds: float
    turn_ms: float


class _Spent:
    """What it spends from now on, beyond `at_rest`, a share of a core."""

    def __init__(self, server: Server, at_rest: float = 0.0) -> None:
        self._server = server
        self._at_rest = at_rest
        with server.client() as client:
            client.config_resetstat()
        self._began = time.monotonic()
        self._cpu, self._sent = cpu_seconds(server.children().values()), _sent_bytes(server)

    def so_far(self) -> Spent:
        time.sleep(COUNTED_SECONDS)
        cpu = cpu_seconds(self._server.children().values()) - self._cpu
        sent = _sent_bytes(self._server) - self._sent
        seconds = time.monotonic() - self._began
        own_cpu = max(0.0, cpu - self._at_rest * seconds)
        return Spent(own_cpu, sent, seconds, _longest_ms(self._server))


class _Site:
    """A master, and proxies whose Applications are made before they start."""

    def __init__(self, master: Master, folder: Path) -> None:
        self.master = master
        self._folder = folder
        self._host = self._create("CfgHost", name=HERE)
        self._prototype = self._create(
            "CfgAppPrototype", name="of the bench", type="configurationserver"
        )
        self._dbids: dict[str, int] = {}
        spent = _Spent(master)
        time.sleep(REST_SECONDS)
        rest = spent.so_far()
        self.at_rest = rest.cpu_seconds / rest.seconds

    def _create(self, class_name: str, **attributes: Any) -> int:
        with self.master.client() as client:
            words = ("CFG.CREATE", class_name, json.dumps(attributes))
            return int(client.execute_command(*words)[1])

    def proxy(self, name: str, above: Sequence[Proxy]) -> Proxy:
        """One that follows these in this order, and the master behind them."""
        first: Server = above[0] if above else self.master
        made = Proxy(self._folder, first, app=name, extra=())
        connections = [{"appServerDBID": self._dbids[one.app]} for one in above]
        self._dbids[name] = self._create(
            "CfgApplication",
            name=name,
            appPrototypeDBID=self._prototype,
            isServer=True,
            serverInfo={"hostDBID": self._host, "port": str(made.port)},
            portInfos=[{"id": "default", "port": str(made.port)}],
            appServerDBIDs=[*connections, {"appServerDBID": MASTER_DBID}],
            tenantDBIDs=[1],
            workDirectory=".",
            commandLine="csp proxy",
        )
        return made

    def start(self, stack: ExitStack, proxies: Sequence[Proxy]) -> None:
        """All at once, until they have what the master has."""
        for one in proxies:
            one.start(ready=False)
            stack.callback(one.stop)
        for one in proxies:
            one.wait_ready(LOAD_SECONDS_MAX)
        revision = _revision(self.master)
        for one in proxies:
            wait_until(lambda one=one: _revision(one) >= revision, LOAD_SECONDS_MAX, one.app)

    def joins(self, proxies: Sequence[Proxy]) -> Spent:
        """What it costs the master that they join."""
        click.echo(f"{len(proxies)} proxies join at the master")
        with ExitStack() as stack:
            spent = _Spent(self.master, self.at_rest)
            self.start(stack, proxies)
            return spent.so_far()

    def fails_over(
        self, middles: Sequence[Proxy], below: Sequence[Proxy], a_load: float
    ) -> dict[str, Any]:
        """The first in the middle dies: what the other one sends to each that goes on there.

        `a_load`: the bytes that one sends to one proxy.
        """
        click.echo("one in the middle is killed")
        dead, other = middles
        moving = [one for one in below if one.master_port == dead.port]
        loads = [_loads(one) for one in moving]
        rest = len(below) - len(moving)
        at_rest = _Spent(other)
        time.sleep(5.0)
        quiet = at_rest.so_far()
        spent = _Spent(other)
        dead.kill()
        with self.master.client() as client:
            for number in range(MISSED):
                delta = json.dumps({"userProperties": {"changed": {"b": {"n": str(number)}}}})
                client.execute_command("CFG.UPDATE", "CfgHost", self._host, delta)
        revision = _revision(self.master)
        for one in below:
            wait_until(lambda one=one: _revision(one) >= revision, FAILED_OVER_SECONDS_MAX, one.app)
        seen = spent.so_far()
        # What those get that were there before belongs to nobody's resume.
        resting = quiet.sent_bytes / quiet.seconds * seen.seconds
        a_resume = max(0.0, seen.sent_bytes - resting) / max(1, len(moving))
        return {
            "resume_bytes": a_resume,
            "load_bytes": a_load,
            "share": a_resume / a_load,
            "failed_over_seconds": seen.seconds,
            "loads_for_it": sum(map(_loads, moving)) - sum(loads),
            "stayed": rest,
        }


def _sent_bytes(server: Server) -> int:
    with server.client() as client:
        return int(client.info("stats")["total_net_output_bytes"])


def _longest_ms(server: Server) -> float:
    with server.client() as client:
        instance = str(client.execute_command("CFG.STATUS")["instance"])
    counters = Control(segment.open_control(instance)).slot_counters(0)
    return int(counters["longest_turn_us"]) / 1000


def _revision(server: Server) -> int:
    with server.client() as client:
        return int(client.execute_command("CFG.STATUS")["revision"])


def _log(server: Server) -> str:
    return server.log.read_text(errors="replace")


def _loads(server: Server) -> int:
    return _log(server).count(f" {LOADED} ")
