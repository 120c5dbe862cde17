"""Measures what a GET costs on a connection that tracks what it reads.

Two works ask one worker for the same objects in turn, round after round, on as many connections;
the connections of one track (CLIENT TRACKING ON). All have read every key before, so what is
measured is a read of what is remembered already, as a cache that fills itself anew asks. Nothing
changes meanwhile. Every reply is checked to be the object that was asked for.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from bench.load import CONNECTIONS, Work, run
from bench.report import Row, conclude
from bench.stage import stage, worker_peer

AT_MOST = {1: 1.1, 64: 1.5}  # by pipeline
OBJECTS = 10_000  # as many as a connection may track
OBJECT_BYTES = 600
REQUESTS = {1: 400_000, 64: 2_000_000}

QUICK_OBJECTS, QUICK_PART, QUICK_ROUNDS = 2_000, 4, 3


@click.command()
@click.option("--objects", default=OBJECTS, show_default=True, help="Persons in the store.")
@click.option("--rounds", default=9, show_default=True, help="Rounds of each row.")
@click.option("--quick", is_flag=True, help="Fewer of all, within a minute.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def tracking(objects: int, rounds: int, quick: bool, keep: bool) -> None:
    """GET with tracking on, keys remembered, against GET without, by server CPU per request."""
    if quick:
        objects, rounds = QUICK_OBJECTS, QUICK_ROUNDS
    notes: dict[str, Any] = {"objects": objects, "connections": CONNECTIONS}
    rows = []
    with stage(objects, OBJECT_BYTES) as on:
        peer = worker_peer(on)
        for pipeline, at_most in AT_MOST.items():
            requests = REQUESTS[pipeline] // (QUICK_PART if quick else 1)
            name = f"GET with tracking, pipeline {pipeline}"
            held = on.held
            plain = Work(name, pipeline, 1, held.class_name, held.first, held.count, requests)
            works = replace(plain, before="track"), replace(plain, before="read")
            for work in works:
                run(replace(work, requests=max(requests // 10, 100)), peer, seed=0)
            costs = [
                [run(work, peer, seed=number).cpu_us for work in works]
                for number in range(1, rounds + 1)
            ]
            notes[name] = {"tracking_us": [a for a, _ in costs], "plain_us": [b for _, b in costs]}
            rows.append(Row(name, "GET", [a / b for a, b in costs], at_most))
    sys.exit(conclude("tracking", rows, notes, keep=keep))
