"""Measures the sign-in storm: desktops that come at once, read, subscribe and go idle.

csp and redis-server hold the same objects and are asked for them in turn, round after round, by the
same program (native/desktops.c), with and without the brief list of all agents.  Counted is the CPU
of all processes of a server; before the first round one desktop of each is compared, object by
object.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson
import psutil
import redis

from bench import sign_ins
from bench.centre import filled_centre
from bench.cpu import cpu_seconds
from bench.desktops import (
    Centre,
    Desktop,
    Step,
    agents_mget,
    csp_steps,
    desktops,
    fill_redis,
    read_centre,
    redis_steps,
    write_script,
)
from bench.get import csp_peer
from bench.load import CORES, Peer
from bench.native import program
from bench.peers import redis_peer
from bench.report import Row, conclude
from csp.resp import MORE, Decoder
from tests.neighbours.server import PASSWORD, Master, Proxy

CPU_AT_MOST = 0.5
AT_ONCE = 100
STORM_SECONDS_MAX = 1_800
REPLY_SECONDS_MAX = 60.0
RECEIVE_BYTES = 1 << 20

Script = list[list[Step]]


@dataclass(frozen=True)
class Seen:
    """One storm: of the server and of the desktops."""

    cpu_us: float  # a desktop
    bytes_out: float  # that the server sent, a desktop
    p50_ms: float
    p99_ms: float
    a_second: float  # by the clock
    a_core_second: float


class WrongReplies(Exception):
    """A server refused something, or the two did not show the same objects."""


@click.command()
@click.option(
    "--desktops", "counts", multiple=True, type=int, default=(1_000, 10_000), show_default=True
)
@click.option("--agents", default=10_000, show_default=True, help="Of the estate.")
@click.option("--rounds", default=3, show_default=True, help="Rounds of each row.")
@click.option(
    "--at-once", default=AT_ONCE, show_default=True, help="Desktops that sign in abreast."
)
@click.option(
    "--accounts", default=100, show_default=True, help="Whose sign-ins are measured alone."
)
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def storm(
    counts: Sequence[int], agents: int, rounds: int, at_once: int, accounts: int, keep: bool
) -> None:
    """Desktops that sign in and read, against the same reads on redis-server."""
    notes: dict[str, Any] = {"agents": agents, "at_once": at_once}
    rows: list[Row] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master = stack.enter_context(Master(folder))
        click.echo(f"filling a master with a centre of {agents} agents")
        filled_centre(master, folder, agents)
        proxy = stack.enter_context(Proxy(folder, master))
        with proxy.client(decode_responses=False, socket_timeout=REPLY_SECONDS_MAX) as client:
            centre = read_centre(client)
        peer = stack.enter_context(redis_peer(centre.texts.items()))
        everyone = desktops(centre, max(counts))
        with redis.Redis("127.0.0.1", peer.port) as client:
            fill_redis(client, centre, everyone, PASSWORD)
        stage = Stage(folder, proxy, peer, centre, at_once)
        notes["objects"] = len(centre.texts)
        for count in counts:
            for brief in (False, True):
                rows += stage.compare(everyone[:count], rounds, notes, brief=brief)
        rows += sign_ins.measure(master, proxy, accounts, stage.alone, notes)
    sys.exit(conclude("storm", rows, notes, keep=keep))


class Stage:
    """A proxy and redis-server that hold the same centre."""

    def __init__(
        self, folder: Path, proxy: Proxy, other: Peer, centre: Centre, at_once: int
    ) -> None:
        self.folder = folder
        self.own = csp_peer("csp", proxy)
        self.other = other
        self.centre = centre
        self.at_once = at_once
        for one in (self.own, self.other):
            one.keep_apart()

    def compare(
        self, some: Sequence[Desktop], rounds: int, notes: dict[str, Any], *, brief: bool
    ) -> list[Row]:
        """A storm of each side in turn."""
        name = f"storm of {len(some)}{', brief list of all agents' if brief else ''}"
        mget = agents_mget(self.centre)
        pages = self.centre.pages
        scripts = [
            (self.own, [csp_steps(one, pages, "default", PASSWORD, brief=brief) for one in some]),
            (
                self.other,
                [redis_steps(one, one.user, PASSWORD, mget, brief=brief) for one in some],
            ),
        ]
        shown = [_shown(peer.port, steps[0]) for peer, steps in scripts]
        if shown[0] != shown[1]:
            raise WrongReplies(f"{name}: csp and redis-server show different objects")
        seen: dict[str, list[Seen]] = {}
        for peer, steps in scripts:
            write_script(self.folder / f"{peer.name}.script", steps)
        for _ in range(rounds):
            for peer, _ in scripts:
                seen.setdefault(peer.name, []).append(self.storm(peer, len(some)))
        own, other = seen.values()
        notes[name] = {who: [vars(one) for one in all_] for who, all_ in seen.items()}
        notes[name]["objects"] = len(shown[0])
        return [
            Row(
                f"{name}: CPU a desktop",
                self.other.name,
                [a.cpu_us / b.cpu_us for a, b in zip(own, other, strict=True)],
                CPU_AT_MOST,
            ),
            *(
                Row(
                    f"{name}: {what}",
                    self.other.name,
                    [of(a) / of(b) for a, b in zip(own, other, strict=True)],
                    None,
                )
                for what, of in (
                    ("bytes", lambda one: one.bytes_out),
                    ("p50", lambda one: one.p50_ms),
                    ("p99", lambda one: one.p99_ms),
                )
            ),
        ]

    def alone(self, scripts: Script) -> float:
        """What a storm of these costs csp, in microseconds a connection."""
        write_script(self.folder / f"{self.own.name}.script", scripts)
        return self.storm(self.own, len(scripts)).cpu_us

    def storm(self, peer: Peer, count: int) -> Seen:
        """One storm by the script that was written for it."""
        return storm_of(peer, self.folder / f"{peer.name}.script", count, self.at_once)


def storm_of(peer: Peer, script: Path, count: int, at_once: int) -> Seen:
    """One storm of so many desktops, by a script; raises WrongReplies where one had an error."""
    command = [program("desktops"), str(peer.port), script, str(at_once)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        psutil.Process(driver.pid).cpu_affinity(CORES[-1:])
        assert driver.stdin is not None
        assert driver.stdout is not None
        if driver.stdout.readline() != "ready\n":
            raise WrongReplies(f"{peer.name}: the desktops did not get ready")
        before = cpu_seconds(peer.processes)
        driver.stdin.write("go\n")
        driver.stdin.flush()
        line = driver.stdout.readline()
        cpu = cpu_seconds(peer.processes) - before
        driver.stdin.close()
    told = orjson.loads(line) if line else {"errors": "the desktops gave up"}
    if told["errors"]:
        raise WrongReplies(f"{peer.name}: {told['errors']}")
    return Seen(
        cpu_us=cpu / count * 1e6,
        bytes_out=told["bytes_in"] / count,
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        a_second=count / told["seconds"],
        a_core_second=count / cpu,
    )


def _shown(port: int, steps: list[Step]) -> dict[str, set[bytes]]:
    """What one desktop is shown: the texts of each object."""
    shown: dict[str, set[bytes]] = {}
    decoder = Decoder()
    with socket.create_connection(("127.0.0.1", port), REPLY_SECONDS_MAX) as to:
        for step in steps:
            to.sendall(step.words)
            left = step.replies
            while left:
                value = decoder.next()
                if value is MORE:
                    decoder.feed(to.recv(RECEIVE_BYTES))
                    continue
                left -= 1
                for text in _texts(value):
                    one = orjson.loads(text)
                    shown.setdefault(f"{one['class']}:{one['DBID']}", set()).add(text)
    return shown


def _texts(value: Any) -> list[bytes]:
    """The objects in a reply."""
    if isinstance(value, Exception):
        raise WrongReplies(str(value))
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, bytes) and value.startswith(b'{"class":') else []
