"""Measures what finding an object by its name costs against getting it by its key.

The same load asks one worker for the same objects in turn, by CFG.FIND and by GET, round after
round; every reply is checked to be the object that was asked for.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from bench.load import Work, run
from bench.report import Row, conclude
from bench.stage import stage

FIND_AT_MOST = 2.5
PIPELINES = (16, 64)
OBJECTS = 100_000
OBJECT_BYTES = 600
REQUESTS = 200_000

QUICK_OBJECTS, QUICK_REQUESTS, QUICK_ROUNDS = 20_000, 50_000, 5


@click.command()
@click.option("--objects", default=OBJECTS, show_default=True, help="Persons in the store.")
@click.option("--requests", default=REQUESTS, show_default=True, help="Requests of a round.")
@click.option("--rounds", default=9, show_default=True, help="Rounds of each row.")
@click.option("--quick", is_flag=True, help="Fewer of all, within a minute.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def find(objects: int, requests: int, rounds: int, quick: bool, keep: bool) -> None:
    """CFG.FIND by user name against GET, pipelined, by server CPU per request."""
    if quick:
        objects, requests, rounds = QUICK_OBJECTS, QUICK_REQUESTS, QUICK_ROUNDS
    notes: dict[str, Any] = {"objects": objects}
    rows = []
    with stage(objects, OBJECT_BYTES) as on:
        for pipeline in PIPELINES:
            name = f"CFG.FIND by name, pipeline {pipeline}"
            held = on.held
            get = Work(name, pipeline, 1, held.class_name, held.first, held.count, requests)
            works = replace(get, keys=0), get
            for work in works:
                run(replace(work, requests=max(requests // 10, 100)), on.peer, seed=0)
            costs = [
                [run(work, on.peer, seed=number).cpu_us for work in works]
                for number in range(1, rounds + 1)
            ]
            notes[name] = {"find_us": [a for a, _ in costs], "get_us": [b for _, b in costs]}
            rows.append(Row(name, "GET", [a / b for a, b in costs], FIND_AT_MOST))
    sys.exit(conclude("find", rows, notes, keep=keep))
