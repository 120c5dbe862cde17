"""Measures what a client that pages through everything costs the others: the p99 of GET."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
import orjson
import psutil

from bench.fill import Filled, fill
from bench.get import csp_peer
from bench.load import CORES, Work, run
from bench.native import program
from bench.report import Row, conclude
from tests.neighbours.server import PASSWORD, Master, Proxy, Server

OBJECTS = 40_000  # of 2,500 bytes: 100 MB
AT_MOST = 2.0
PAGE_SECONDS_MAX = 30


@click.command()
@click.option(
    "--rounds", default=9, show_default=True, help="Rounds, each with and without paging."
)
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def fair(rounds: int, keep: bool) -> None:
    """The 99th percentile of GET while another connection pages through 100 MB."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master = stack.enter_context(Master(folder))
        click.echo(f"filling a master with {OBJECTS} objects of 2,500 bytes")
        held = fill(master, "CfgPlace", OBJECTS, 2_500)
        proxy = stack.enter_context(Proxy(folder, master, workers=1))
        row, notes = _measure(proxy, held, rounds)
    sys.exit(conclude("fair", [row], notes, keep=keep))


def _measure(server: Server, held: Filled, rounds: int) -> tuple[Row, dict[str, object]]:
    work = Work("p99 of GET, paging", 1, 1, held.class_name, held.first, held.count, 60_000)
    peer = csp_peer("csp", server)
    peer.keep_apart()
    alone, beside, paged = [], [], []
    for number in range(rounds):
        alone.append(run(work, peer, seed=number).p99_us)
        with Pager(server, held.class_name) as pager:
            beside.append(run(work, peer, seed=number).p99_us)
        paged.append(pager.seen["bytes"])
    ratios = [b / a for a, b in zip(alone, beside, strict=True)]
    return Row(work.name, "alone", ratios, AT_MOST), {
        "alone_us": alone,
        "beside_us": beside,
        "paged_bytes": paged,
    }


class Pager:
    """One connection that reads a class from end to end, again and again, on the load's core."""

    def __init__(self, server: Server, class_name: str) -> None:
        where = (str(server.port), class_name, "10000", "default", PASSWORD)
        self.command: list[str] = [str(program("pager")), *where]
        self.seen: dict[str, int] = {}

    def __enter__(self) -> Pager:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE)
        psutil.Process(self.process.pid).cpu_affinity(CORES[-1:])
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.terminate()
        out = self.process.communicate(timeout=PAGE_SECONDS_MAX)[0]
        self.seen = orjson.loads(out)
