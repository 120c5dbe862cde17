"""Measures what a read by key costs at millions of objects against a few thousand.

Two masters with the same workers and the same store serve in turn, round after round; compared is
the server's CPU time per key. What grows with the count is only what misses the caches.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from bench.filled import filled_master
from bench.get import csp_peer
from bench.load import Peer, Work, run
from bench.report import Row, conclude
from csp.model.types import FIRST_DBID

MANY_TO_FEW_MAX = 1.7
MEAN_BYTES = 550
PIPELINE = 16


@click.command()
@click.option("--objects", default=5_000_000, show_default=True, help="Objects of the large store.")
@click.option("--few", default=10_000, show_default=True, help="Objects of the small one.")
@click.option("--requests", default=400_000, show_default=True, help="Requests of a round.")
@click.option("--rounds", default=5, show_default=True, help="Rounds of each.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def scale(objects: int, few: int, requests: int, rounds: int, keep: bool) -> None:
    """GET, pipeline 16, at five million objects against ten thousand."""
    notes: dict[str, object] = {"objects": objects, "few": few}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        peers = [
            (_serving(stack, folder, name, count, notes), count)
            for name, count in (("many", objects), ("few", few))
        ]
        for peer, _ in peers:
            peer.keep_apart()
        ratios = []
        for number in range(rounds + 1):
            many, less = (
                run(Work(peer.name, PIPELINE, 1, "CfgPerson", FIRST_DBID, count, requests), peer,
                    seed=number).cpu_us
                for peer, count in peers
            )  # fmt: skip
            if number:  # the first round warms up
                ratios.append(many / less)
                notes[f"cpu_us_{number}"] = [many, less]
    row = Row(f"GET, pipeline 16, {objects} objects", f"{few} objects", ratios, MANY_TO_FEW_MAX)
    sys.exit(conclude("scale", [row], notes, keep=keep))


def _serving(
    stack: ExitStack, folder: Path, name: str, count: int, notes: dict[str, object]
) -> Peer:
    """A master with one worker over a database of so many made-up persons."""
    master, notes[f"load_seconds_{name}"] = filled_master(stack, folder / name, count, MEAN_BYTES)
    return csp_peer(name, master)
