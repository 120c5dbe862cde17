"""Measures what a client leaves in a worker that asks for much before it reads, and then goes.

1. A pipeline is written whole before the first byte of its replies is read, as many clients do it;
   all replies must come.
2. Objects are read once before, so that the store's pages count with what the worker had before.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from bench.report import Row, conclude
from bench.requests import Requests, keys, write
from bench.resident import Resident, at_rest
from bench.stage import Stage, stage, worker_peer

MIB_AT_MOST = 16.0
OBJECTS = 15_000
OBJECT_BYTES = 600
GETS = 140_000
MGET_BYTES = 320_000_000


@click.command()
@click.option("--objects", default=OBJECTS, show_default=True, help="Persons in the store.")
@click.option("--gets", default=GETS, show_default=True, help="GETs before a reply is read.")
@click.option("--mget-bytes", default=MGET_BYTES, show_default=True, help="Of an MGET's objects.")
@click.option("--quick", is_flag=True, help="The same: it takes less than a minute.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def pipeline(objects: int, gets: int, mget_bytes: int, quick: bool, keep: bool) -> None:
    """A long pipeline written whole, and an MGET of 320 MB; what the worker keeps of them."""
    notes: dict[str, Any] = {"quick": quick}
    with stage(objects, OBJECT_BYTES) as on:
        _asked(on, write(on.folder / "all", [("MGET", *keys(on.held, objects))], 1), "ask")
        single = (("GET", key) for key in keys(on.held, gets))
        mget_keys = keys(on.held, mget_bytes // on.held.mean_bytes)
        many = write(on.folder / "mget", [("MGET", *mget_keys)], 1)
        rows = [
            *_row(on, f"{gets} GETs", write(on.folder / "gets", single, gets), "whole", notes),
            *_row(on, f"MGET of {mget_bytes} bytes, read and gone", many, "ask", notes),
            *_row(on, f"MGET of {mget_bytes} bytes, gone unread", many, "go", notes),
        ]
    sys.exit(conclude("pipeline", rows, notes, keep=keep))


def _asked(on: Stage, requests: Requests, how: str) -> dict[str, Any]:
    with requests.asker(worker_peer(on)) as asker:
        return asker.ask(how)


def _row(on: Stage, name: str, requests: Requests, how: str, notes: dict[str, Any]) -> list[Row]:
    at_rest(on.workers)
    memory = Resident(on.worker)
    seen = _asked(on, requests, how)
    at_rest(on.workers)
    kept = memory.given_back(MIB_AT_MOST)
    notes[name] = {**seen, "kept_mib": kept, "shared_mib": memory.shared, "peak_mib": memory.peak}
    rows = [
        Row(f"{name}: the worker afterwards", "MiB", [kept], MIB_AT_MOST),
        Row(f"{name}: the worker at most", "MiB", [memory.peak], None),
    ]
    if how != "go":
        missing = requests.replies - seen["replies"] + seen["errors"]
        rows.insert(0, Row(f"{name}: replies that did not come", "none", [missing], 0.0))
    return rows
