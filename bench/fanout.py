"""Measures fan-out: what it costs to tell many subscribers of a change.

csp, redis-server and the bare sends tell as many subscribers of as many bytes in turn, change after
change, so that each finds the caches as the others left them; compared is the CPU of the processes
that send, a message and client. csp's are its workers: its writer's part comes once a change,
whoever listens, and is among the notes.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import click
import psutil
import redis

from bench.clients import Swarm
from bench.cpu import cpu_seconds
from bench.load import Peer
from bench.peers import bare_peer, redis_peer
from bench.report import Row, conclude
from bench.stage import Stage, stage, worker_peer

ONE_AT_MOST = 1.10
TEN_AT_MOST = 1.30
PAYLOAD_BYTES = 600
PARTS = (1, 10)
AT_MOST = {1: ONE_AT_MOST, 10: TEN_AT_MOST}
NAMES = {1: "one change", 10: "ten changes of one transaction"}
OBJECT_BYTES = 600
PERSONS = 100
DELIVERIES = 40_000  # in a round of each
SEND, SENT = b"send\r\n", b"+OK\r\n"

QUICK_SUBSCRIBERS, QUICK_ROUNDS = (200, 1_000), 3


@dataclass(frozen=True)
class Side:
    """One of those compared: its subscribers, and what makes it tell them once."""

    peer: Peer
    swarm: Swarm
    go: Callable[[], object]
    whole: list[psutil.Process]  # all its processes, whether they send or not


@click.command()
@click.option("--subscribers", multiple=True, default=(1_000, 5_000), show_default=True)
@click.option("--rounds", default=9, show_default=True, help="Rounds of each row.")
@click.option("--deliveries", default=DELIVERIES, show_default=True, help="Of a round, at least.")
@click.option("--quick", is_flag=True, help="Fewer subscribers and rounds, within a minute.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def fanout(
    subscribers: tuple[int, ...], rounds: int, deliveries: int, quick: bool, keep: bool
) -> None:
    """One change of 600 bytes and ten of one transaction to many subscribers."""
    if quick:
        subscribers, rounds = QUICK_SUBSCRIBERS, QUICK_ROUNDS
    rows: list[Row] = []
    notes: dict[str, Any] = {"payload_bytes": PAYLOAD_BYTES}
    with stage(PERSONS, OBJECT_BYTES) as on:
        value_bytes = on.value_bytes(PAYLOAD_BYTES)
        for count in subscribers:
            for parts in PARTS:
                rows += _compare(on, count, parts, value_bytes, rounds, deliveries, notes)
    sys.exit(conclude("fanout", rows, notes, keep=keep))


def _compare(
    on: Stage,
    count: int,
    parts: int,
    value_bytes: int,
    rounds: int,
    deliveries: int,
    notes: dict[str, Any],
) -> list[Row]:
    """One row: all sides in turn."""
    name = f"{NAMES[parts]} to {count}"
    repeats = max(1, deliveries // (count * parts))
    costs: dict[str, list[float]] = {}
    with ExitStack() as stack:
        sides = _sides(stack, on, count, parts, value_bytes)
        for side in sides:
            side.peer.keep_apart()
        one_round(sides, parts, 1)
        for _ in range(rounds):
            for who, cost in one_round(sides, parts, repeats).items():
                costs.setdefault(who, []).append(cost)
    notes[name] = {who: [round(cost, 4) for cost in of] for who, of in costs.items()}
    own = costs["csp"]
    against = (("bare sends", AT_MOST[parts]), ("redis-server", None))
    return [
        Row(name, who, [a / b for a, b in zip(own, costs[who], strict=True)], at_most)
        for who, at_most in against
    ]


def one_round(sides: list[Side], parts: int, repeats: int) -> dict[str, float]:
    """CPU a message and client in microseconds: of those that send, and of all of a side."""
    before = _spent(sides)
    for _ in range(repeats):
        for side in sides:
            side.swarm.tell(f"take {parts}")
            side.go()
            side.swarm.taken(parts)
    taken = repeats * parts * sides[0].swarm.count
    return {who: (spent - before[who]) / taken * 1e6 for who, spent in _spent(sides).items()}


def _spent(sides: list[Side]) -> dict[str, float]:
    """CPU seconds until now."""
    own = {side.peer.name: cpu_seconds(side.peer.processes) for side in sides}
    whole = {f"{side.peer.name}, all processes": cpu_seconds(side.whole) for side in sides}
    return own | whole


def _sides(stack: ExitStack, on: Stage, count: int, parts: int, value_bytes: int) -> list[Side]:
    """csp, redis-server and the bare sends, each with its subscribers."""
    told = on.messages(parts, value_bytes)
    payloads = [part.split(b"\r\n")[6] for part in told.split(b"*3\r\n")[1:]]
    sent = on.folder / f"sent-{parts}"
    sent.write_bytes(told)
    redis_side = stack.enter_context(redis_peer(()))
    bare_side = stack.enter_context(bare_peer(sent))
    client = stack.enter_context(redis.Redis("127.0.0.1", redis_side.port))
    bare = stack.enter_context(socket.create_connection(("127.0.0.1", bare_side.port)))

    def publish() -> None:
        with client.pipeline(transaction=parts > 1) as pipe:
            for payload in payloads:
                pipe.publish("cfg", payload)
            pipe.execute()

    def send() -> None:
        bare.sendall(SEND)
        assert bare.recv(len(SENT)) == SENT

    own = worker_peer(on)
    going = (
        (own, lambda: on.change(parts, value_bytes), on.peer.processes),
        (redis_side, publish, redis_side.processes),
        (bare_side, send, bare_side.processes),
    )
    return [
        Side(peer, stack.enter_context(Swarm(peer, count)), go, whole) for peer, go, whole in going
    ]
