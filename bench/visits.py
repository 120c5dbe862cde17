"""Runs connections that come one after the other, and counts what each costs the server."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import orjson
import psutil

from bench.cpu import cpu_seconds
from bench.load import CORES, Peer, WrongReplies
from bench.native import program

VISITS_SECONDS_MAX = 600


@dataclass(frozen=True)
class Visits:
    """What came of a run."""

    cpu_us: float  # a connection
    done: int
    failed: int
    resumed: int
    certificates: int  # how often the server showed another than just before


def visits(peer: Peer, count: int, kind: str) -> Visits:
    """So many connections, `full` or `resumed` ones; WrongReplies where one failed."""
    command = [program("handshakes"), peer.address, str(count), kind]
    before = cpu_seconds(peer.processes)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        psutil.Process(process.pid).cpu_affinity(CORES[-1:])
        out, err = process.communicate(timeout=VISITS_SECONDS_MAX)
    cpu = cpu_seconds(peer.processes) - before
    seen = read_visits(out, cpu / count * 1e6)
    if seen is None or seen.failed:
        raise WrongReplies(f"connections to {peer.name}: {out}{err}")
    return seen


def read_visits(line: str, cpu_us: float = 0.0) -> Visits | None:
    """What the program printed; None where it ended without."""
    if not line:
        return None
    told = orjson.loads(line)
    counts = (told[name] for name in ("done", "failed", "resumed", "certificates"))
    return Visits(cpu_us, *counts)
