"""Runs the load program against one server and counts the server's CPU meanwhile."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil

from bench.cpu import cpu_seconds
from bench.native import program

CONNECTIONS = 50
CORES = sorted(os.sched_getaffinity(0))
LOAD_SECONDS_MAX = 120


@dataclass(frozen=True)
class Work:
    """What the load asks for: GET (one key a request), MGET, or CFG.FIND by name (no key)."""

    name: str
    pipeline: int
    keys: int
    class_name: str
    first: int
    count: int
    requests: int
    before: str = ""  # each connection reads all keys first: `read`, `track`

    @property
    def request_bytes(self) -> int:
        """The length of one request; all have the same."""
        key = len(self.class_name) + 9
        verb = "GET" if self.keys == 1 else "MGET"
        head = len(f"*{self.keys + 1}\r\n${len(verb)}\r\n{verb}\r\n")
        return head + self.keys * len(f"${key}\r\n" + "x" * key + "\r\n")


@dataclass(frozen=True)
class Peer:
    """One server under load."""

    name: str
    port: int
    processes: list[psutil.Process]
    user: str = "-"
    password: str = "-"
    checked: bool = True
    tls: bool = False

    @property
    def address(self) -> str:
        """How the programs of the bench are told where it is."""
        return f"tls:{self.port}" if self.tls else str(self.port)

    def keep_apart(self) -> None:
        """Leaves the last core to the load.

        A server that happens to share a core with its load copies through a warm cache and looks
        cheaper by a third; which of the two happens is the scheduler's mood, so it is settled here.
        """
        for process in self.processes:
            process.cpu_affinity(CORES[:-1] or CORES)


@dataclass(frozen=True)
class Figures:
    """One run: server CPU per key in microseconds, and what the load saw."""

    cpu_us: float
    requests_a_second: float
    p50_us: int
    p99_us: int


class WrongReplies(Exception):
    """The server answered something else than what was asked for."""


def run(work: Work, peer: Peer, seed: int) -> Figures:
    """One closed-loop run; raises WrongReplies if a single reply was not the object asked for."""
    arguments = [
        *(peer.address, CONNECTIONS, work.pipeline, work.requests, work.keys),
        *(
            work.first,
            work.count,
            work.class_name,
            seed,
            int(peer.checked),
            peer.user,
            peer.password,
        ),
    ]
    if work.before:
        arguments.append(work.before)
    before = cpu_seconds(peer.processes)

    def ready() -> None:
        nonlocal before
        before = cpu_seconds(peer.processes)

    done = _load([program("load"), *map(str, arguments)], ready if work.before else None)
    cpu = cpu_seconds(peer.processes) - before
    if done.returncode:
        raise WrongReplies(f"{work.name} on {peer.name}: {done.stdout}{done.stderr}")
    seen = orjson.loads(done.stdout)
    return Figures(
        cpu_us=cpu / seen["keys"] * 1e6,
        requests_a_second=seen["requests"] / seen["seconds"],
        p50_us=seen["p50_us"],
        p99_us=seen["p99_us"],
    )


def _load(
    command: list[str | Path], ready: Callable[[], None] | None
) -> subprocess.CompletedProcess[str]:
    """Runs the load on the last core; calls `ready` between what it reads before and its load."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        psutil.Process(process.pid).cpu_affinity(CORES[-1:])
        assert process.stdout is not None
        if ready is not None and process.stdout.readline() == "ready\n":
            ready()
        try:
            out, err = process.communicate("\n", timeout=LOAD_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)
