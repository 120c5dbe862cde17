"""Measures what the scrubber costs: the writer's CPU while a pass runs, and reads meanwhile.

Two masters with the same objects, one that scrubs at its default pace again and again and one that
never does, are watched while nobody asks anything, then get the same load in turn.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from bench.cpu import cpu_seconds
from bench.filled import filled_master
from bench.get import csp_peer
from bench.load import Work, run
from bench.report import Row, conclude
from csp.model.types import FIRST_DBID
from tests.neighbours.server import Master
from tests.neighbours.waiting import wait_until

MEAN_BYTES = 550
PIPELINE = 16
REQUESTS = 400_000
# A short rest before each pass, so that one is always under way; the pace itself is the default.
SCRUBS = {"scrub-pause": "1"}
RESTS = {"scrub-rate": "0"}
BEGIN_SECONDS_MAX = 10.0


@click.command()
@click.option("--objects", multiple=True, default=(100_000, 1_000_000), show_default=True)
@click.option(
    "--seconds", default=10, show_default=True, help="For which an idle writer is watched."
)
@click.option("--rounds", default=9, show_default=True, help="Rounds of each under load.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def scrub(objects: tuple[int, ...], seconds: int, rounds: int, keep: bool) -> None:
    """The scrubber's share of a core, and GET with pipeline 16 with it against without it."""
    rows: list[Row] = []
    notes: dict[str, object] = {"seconds": seconds}
    for count in objects:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
            on, _ = filled_master(stack, folder / "scrubbing", count, MEAN_BYTES, SCRUBS)
            off, _ = filled_master(stack, folder / "resting", count, MEAN_BYTES, RESTS)
            for name, master in (("scrubbing", on), ("resting", off)):
                share, records = _watched(master, seconds, scrubs=master is on)
                notes[f"{name}_{count}"] = {"core_share": share, "records_a_second": records}
                click.echo(
                    f"{count} objects, {name}: the writer takes {share:.3%} of a core, "
                    f"{records:.0f} records a second"
                )
            rows += _compared(on, off, count, rounds)
    sys.exit(conclude("scrub", rows, notes, keep=keep))


def _watched(master: Master, seconds: int, *, scrubs: bool) -> tuple[float, float]:
    """The idle writer's share of a core, and the records that it checks a second."""
    writer = master.child("writer")
    if scrubs:
        before = _scrubbed(master)
        wait_until(lambda: _scrubbed(master) > before, BEGIN_SECONDS_MAX, "a pass begins")
    records, began, cpu = _scrubbed(master), time.monotonic(), cpu_seconds([writer])
    time.sleep(seconds)
    passed = time.monotonic() - began
    share = (cpu_seconds([writer]) - cpu) / passed
    return share, (_scrubbed(master) - records) / passed


def _scrubbed(master: Master) -> int:
    with master.client() as client:
        return int(client.info("csp")["scrubbed"])


def _compared(on: Master, off: Master, count: int, rounds: int) -> list[Row]:
    """CPU per key of all the server's processes, and of its worker alone."""
    work = Work("get", PIPELINE, 1, "CfgPerson", FIRST_DBID, count, REQUESTS)
    pairs = {}
    for master in (on, off):
        whole = csp_peer("all", master)
        whole.keep_apart()
        pairs[master] = (whole, replace(whole, processes=[master.child("worker 0")]))
        run(work, whole, seed=0)
    rows = []
    for at, who in enumerate(("all processes", "the worker")):
        ratios = []
        for seed in range(1, rounds + 1):
            with_it, without = (run(work, pairs[one][at], seed=seed).cpu_us for one in (on, off))
            ratios.append(with_it / without)
        rows.append(Row(f"GET, {count} objects, {who}, scrubbing", "resting", ratios, None))
    return rows
