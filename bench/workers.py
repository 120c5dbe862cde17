"""Measures what more workers cost: CPU of a request and of a message, and how connections spread.

1. Proxies of one master with as many objects get the same load in turn, round after round; each has
   the cores that the load leaves to it, so several workers share one.
2. The spread is told, not judged: the kernel deals connections out, by who accepts first.
"""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import click

from bench.clients import Swarm
from bench.cpu import cpu_seconds
from bench.load import Peer, Work, run
from bench.report import Row, conclude
from bench.stage import Stage, stage, worker_peer
from csp.resp import request
from tests.neighbours.server import PASSWORD, Proxy
from tests.neighbours.waiting import wait_until

TO_ONE_AT_MOST = 1.15
WORKERS = (1, 4, 8)
PIPELINE = 16
OBJECTS = 50_000
OBJECT_BYTES = 600
REQUESTS = 400_000
SUBSCRIBERS = 1_000
CHANGES = 20  # of a round, each in a transaction of its own
CONNECTIONS = 1_000
ACCEPTED = b"+OK\r\n"

QUICK_OBJECTS, QUICK_REQUESTS, QUICK_ROUNDS = 10_000, 80_000, 3


@click.command()
@click.option("--workers", "counts", multiple=True, default=WORKERS, show_default=True)
@click.option("--objects", default=OBJECTS, show_default=True, help="Persons in the store.")
@click.option("--requests", default=REQUESTS, show_default=True, help="Requests of a round.")
@click.option("--subscribers", default=SUBSCRIBERS, show_default=True, help="Of each proxy.")
@click.option("--connections", default=CONNECTIONS, show_default=True, help="To be spread.")
@click.option("--rounds", default=9, show_default=True, help="Rounds of each row.")
@click.option("--quick", is_flag=True, help="Fewer of all, within a minute.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def workers(
    counts: tuple[int, ...],
    objects: int,
    requests: int,
    subscribers: int,
    connections: int,
    rounds: int,
    quick: bool,
    keep: bool,
) -> None:
    """GET and fan-out with several workers against one; the spread of connections."""
    if quick:
        objects, requests, rounds = QUICK_OBJECTS, QUICK_REQUESTS, QUICK_ROUNDS
    notes: dict[str, Any] = {}
    with stage(objects, OBJECT_BYTES) as on, ExitStack() as stack:
        stages = {counts[0]: on}
        for count in counts[1:]:
            proxy = Proxy(on.folder, on.master, workers=count, app=f"proxy{count}")
            stages[count] = Stage(on.folder, on.master, stack.enter_context(proxy), on.held)
        rows = _gets(stages, requests, rounds, notes)
        rows += _fan_out(stages, subscribers, rounds, notes)
        for count in counts[1:]:
            rows += _spread(stages[count], count, connections, notes)
    sys.exit(conclude("workers", rows, notes, keep=keep))


def _gets(stages: dict[int, Stage], requests: int, rounds: int, notes: dict[str, Any]) -> list[Row]:
    held = next(iter(stages.values())).held
    work = Work("GET", PIPELINE, 1, held.class_name, held.first, held.count, requests)
    peers = {count: worker_peer(on) for count, on in stages.items()}
    costs: dict[int, list[float]] = {count: [] for count in stages}
    for peer in peers.values():
        run(replace(work, requests=max(requests // 10, 100)), peer, seed=0)
    for number in range(1, rounds + 1):
        for count, peer in peers.items():
            costs[count].append(run(work, peer, seed=number).cpu_us)
    return _against_one(f"GET, pipeline {PIPELINE}", costs, notes)


def _fan_out(
    stages: dict[int, Stage], subscribers: int, rounds: int, notes: dict[str, Any]
) -> list[Row]:
    costs: dict[int, list[float]] = {count: [] for count in stages}
    for number in range(rounds + 1):
        for count, on in stages.items():
            with Swarm(worker_peer(on), subscribers) as swarm:
                cost = _told(on, swarm)
            if number:  # the first round warms up
                costs[count].append(cost)
    return _against_one(f"fan-out to {subscribers}", costs, notes)


def _told(on: Stage, swarm: Swarm) -> float:
    """CPU of all workers a message, in microseconds."""
    processes = on.workers
    before = cpu_seconds(processes)
    for _ in range(CHANGES):
        swarm.tell("take 1")
        on.change(1, 1)
        swarm.taken(1)
    return (cpu_seconds(processes) - before) / (CHANGES * swarm.count) * 1e6


def _against_one(name: str, costs: dict[int, list[float]], notes: dict[str, Any]) -> list[Row]:
    notes[name] = {str(count): [round(cost, 4) for cost in of] for count, of in costs.items()}
    (first, one), *more = costs.items()
    return [
        Row(
            f"{name}, {count} workers",
            f"{first} worker",
            [a / b for a, b in zip(of, one, strict=True)],
            TO_ONE_AT_MOST,
        )
        for count, of in more
    ]


# ------------------------------------------------------------------ the spread of connections


def _spread(on: Stage, count: int, connections: int, notes: dict[str, Any]) -> list[Row]:
    """The fullest worker against the mean, at first and when one worker's clients came back."""
    peer = worker_peer(on)
    opened = [_signed_in(peer) for _ in range(connections)]
    name = f"spread of {connections} over {count} workers"
    first = notes[name] = _by_worker(on, connections)
    on.workers[0].kill()
    wait_until(lambda: len(on.workers) == count, 30, "a new worker")
    alive = [one for one in opened if not _is_lost(one)]
    back = [_signed_in(peer) for _ in range(connections - len(alive))]
    after = notes[f"{name}, after a death"] = _by_worker(on, connections)
    for one in (*opened, *back):
        one.close()
    return [
        Row(f"{name}: the fullest", "the mean", [max(first) * count / connections], None),
        Row(f"{name}, after a death", "the mean", [max(after) * count / connections], None),
    ]


def _by_worker(on: Stage, connections: int) -> list[int]:
    """Connections of each worker, as the kernel knows them."""

    def counted() -> list[int]:
        return [
            sum(1 for one in process.net_connections("tcp") if one.status == "ESTABLISHED")
            for process in on.workers
        ]

    wait_until(lambda: sum(counted()) >= connections, 30, "all are taken")
    return counted()


def _signed_in(peer: Peer) -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", peer.port), timeout=30)
    opened.sendall(request("AUTH", "default", PASSWORD))
    assert opened.recv(len(ACCEPTED)) == ACCEPTED
    return opened


def _is_lost(opened: socket.socket) -> bool:
    """Whether the server's side is gone; there is nothing to read on one that is not."""
    opened.setblocking(False)
    try:
        return not opened.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
