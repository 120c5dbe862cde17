"""Measures what subscribers cost that are behind: the worker's memory, and its CPU as they go on.

1. Readers get a transaction of many changes while they read; others get one large change that they
   don't read; others again stop before a transaction and take it when all is written.
2. All get every message in the end: a connection that the server closed fails the run.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from bench.clients import Swarm
from bench.cpu import cpu_seconds
from bench.report import Row, conclude
from bench.resident import Resident, at_rest
from bench.stage import Stage, stage, worker_peer

MIB_AT_MOST = 32.0
BETWEEN_AT_MOST = 1.2
READERS = 600
UNREAD = 100
CHANGES = 10_000
HELD = (1_000, 4_000)
HELD_RECEIVE_BYTES = 16 << 10
UNREAD_RECEIVE_BYTES = 64 << 10
LARGE_BYTES = 4 << 20
VALUE_BYTES = 40  # a message of some 340 bytes
OBJECT_BYTES = 600
SPLIT = 100  # transactions of the second way to write the changes

QUICK_CHANGES, QUICK_READERS, QUICK_HELD = 2_000, 200, (100, 400)


@click.command()
@click.option("--changes", default=CHANGES, show_default=True, help="Of one transaction.")
@click.option("--readers", default=READERS, show_default=True, help="Subscribers that read.")
@click.option("--unread", default=UNREAD, show_default=True, help="Those that don't.")
@click.option("--held", nargs=2, type=int, default=HELD, show_default=True, help="Few and many.")
@click.option("--rounds", default=1, show_default=True, help="Rounds of the held ones.")
@click.option("--quick", is_flag=True, help="Fewer of all, within a minute.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def held(
    changes: int,
    readers: int,
    unread: int,
    held: tuple[int, int],
    rounds: int,
    quick: bool,
    keep: bool,
) -> None:
    """Memory of a worker whose subscribers are behind, and its CPU while they catch up."""
    if quick:
        changes, readers, held = QUICK_CHANGES, QUICK_READERS, QUICK_HELD
    notes: dict[str, Any] = {"changes": changes}
    with stage(changes, OBJECT_BYTES) as on:
        rows = _reading(on, readers, changes, notes)
        rows += _not_reading(on, unread, notes)
        for transactions in (1, SPLIT):
            rows += _catching_up(on, held, changes, transactions, rounds, notes)
    sys.exit(conclude("held", rows, notes, keep=keep))


def _reading(on: Stage, readers: int, changes: int, notes: dict[str, Any]) -> list[Row]:
    name = f"{changes} changes of one transaction to {readers} readers, worker"
    with Swarm(worker_peer(on), readers) as swarm:
        memory = _begin(on, swarm)
        before = cpu_seconds(on.workers)
        swarm.tell(f"take {changes}")
        on.change(changes, VALUE_BYTES)
        swarm.taken(changes)
        cpu_us = (cpu_seconds(on.workers) - before) / (readers * changes) * 1e6
        notes[name] = {**_told(memory), "cpu_us_a_delivery": round(cpu_us, 4)}
        return [Row(name, "MiB", [memory.peak], MIB_AT_MOST)]


def _not_reading(on: Stage, unread: int, notes: dict[str, Any]) -> list[Row]:
    name = f"one change of {LARGE_BYTES >> 20} MiB to {unread} that don't read, worker"
    with Swarm(worker_peer(on), unread, UNREAD_RECEIVE_BYTES) as swarm:
        memory = _begin(on, swarm)
        on.arrived(on.change_large(LARGE_BYTES))
        at_rest(on.workers)
        notes[name] = _told(memory)
        row = Row(name, "MiB", [memory.peak], MIB_AT_MOST)
        swarm.take(1)
        notes[f"{name}, when they have read"] = _told(memory)
    # A change of a large object carries all of it to the proxy: those that follow are to be small.
    on.arrived(on.change_large(VALUE_BYTES))
    return [row]


def _catching_up(
    on: Stage,
    held: tuple[int, int],
    changes: int,
    transactions: int,
    rounds: int,
    notes: dict[str, Any],
) -> list[Row]:
    costs: dict[int, list[float]] = {count: [] for count in held}
    peaks: dict[int, list[float]] = {count: [] for count in held}
    how = f"{changes} changes of {transactions} transaction{'s' * (transactions > 1)}"
    for _ in range(rounds):
        for count in held:
            with Swarm(worker_peer(on), count, HELD_RECEIVE_BYTES) as swarm:
                memory = _begin(on, swarm)
                before = cpu_seconds(on.workers)
                for _ in range(transactions):
                    revision = on.change(changes // transactions, VALUE_BYTES)
                on.arrived(revision)
                at_rest(on.workers)
                swarm.take(changes // transactions * transactions)
                spent = cpu_seconds(on.workers) - before
                costs[count].append(spent / (count * changes) * 1e6)
                peaks[count].append(memory.peak)
                notes.setdefault(f"{count} held, {how}", []).append(_told(memory))
    few, many = (costs[count] for count in held)
    notes[f"cpu_us_a_delivery, {how}"] = {str(count): costs[count] for count in held}
    between = [b / a for a, b in zip(few, many, strict=True)]
    name = f"{held[1]} held catch up, {how}, CPU a delivery"
    rows = [Row(name, f"{held[0]}", between, BETWEEN_AT_MOST)]
    for count in held:
        name = f"{count} held catch up, {how}, worker"
        rows.append(Row(name, "MiB", peaks[count], MIB_AT_MOST))
    return rows


def _begin(on: Stage, swarm: Swarm) -> Resident:
    """A first small change reaches everybody; what is more from here on counts."""
    swarm.tell("take 1")
    on.change(1, VALUE_BYTES)
    swarm.taken(1)
    at_rest(on.workers)
    return Resident(on.worker)


def _told(memory: Resident) -> dict[str, float]:
    return {"peak_mib": memory.peak, "now_mib": memory.now, "shared_mib": memory.shared}
