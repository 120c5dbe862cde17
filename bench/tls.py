"""Measures TLS beside redis-server with TLS: reads, fan-out, handshakes, memory, and reloads.

Both hold the same bytes and get the same load in turn, by TLS 1.3 with one suite; what is compared
is the CPU of their processes, as everywhere in the bench. What a proxy's plain port costs in the
same minutes stands in the notes.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import click

from bench import directory
from bench.fanout import Side, one_round
from bench.instructions.measure import TOLERANCE, verdicts
from bench.instructions.measure import count as count_instructions
from bench.load import Figures, Peer, Work, run
from bench.report import Row, conclude
from bench.tls_memory import idle_memory
from bench.tls_reload import reloads
from bench.tls_stage import TlsStage, tls_stage
from bench.visits import Visits, visits

BULK_AT_MOST = 0.50
FANOUT_AT_MOST = 0.8
INSTRUCTIONS_AT_MOST = 1 + TOLERANCE
HANDSHAKE_AT_MOST = 1.1
OBJECT_BYTES = 600
PAYLOAD_BYTES = 600
DELIVERIES = 40_000  # in a round of each
PARTS = ("bulk", "fanout", "instructions", "handshakes", "memory", "directory", "reload")


@click.command()
@click.option("--persons", default=100_000, show_default=True, help="Objects of each server.")
@click.option("--requests", default=640_000, show_default=True, help="Of a round of bulk reads.")
@click.option("--subscribers", default=1_000, show_default=True, help="Who are told of changes.")
@click.option("--deliveries", default=DELIVERIES, show_default=True, help="Of a round, at least.")
@click.option("--handshakes", default=1_000, show_default=True, help="Of a round of each kind.")
@click.option("--connections", default=800, show_default=True, help="That are idle.")
@click.option("--users", default=200, show_default=True, help="Who sign in, local and of others.")
@click.option("--answer-seconds", default=5.0, show_default=True, help="Of the slow directory.")
@click.option("--reload-seconds", default=20.0, show_default=True, help="Of load with reloads.")
@click.option("--rounds", default=9, show_default=True, help="Rounds of each row.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Only these rows.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def tls(
    persons: int,
    requests: int,
    subscribers: int,
    deliveries: int,
    handshakes: int,
    connections: int,
    users: int,
    answer_seconds: float,
    reload_seconds: float,
    rounds: int,
    only: tuple[str, ...],
    keep: bool,
) -> None:
    """TLS against redis-server with TLS; a slow directory; certificates that are replaced."""
    notes: dict[str, Any] = {}
    rows: list[Row] = []
    wanted = only or PARTS
    on_stage: dict[str, Callable[[TlsStage], list[Row]]] = {
        "bulk": lambda on: bulk(on, requests, rounds, notes),
        "fanout": lambda on: fanout(on, subscribers, deliveries, rounds, notes),
        "handshakes": lambda on: shaken(on, handshakes, rounds, notes),
        "memory": lambda on: idle_memory(on, connections, notes),
        "reload": lambda on: reloads(on, reload_seconds, notes),
    }
    if on_stage.keys() & set(wanted):
        with tls_stage(persons, OBJECT_BYTES) as on:
            for name, measure in on_stage.items():
                rows += measure(on) if name in wanted else []
    if "directory" in wanted:
        rows += directory.measure(users, answer_seconds, rounds, notes)
    if "instructions" in wanted:
        rows += instructions(notes)
    sys.exit(conclude("tls", rows, notes, keep=keep))


def bulk(on: TlsStage, requests: int, rounds: int, notes: dict[str, Any]) -> list[Row]:
    """GET by key, pipeline 64, all connections busy."""
    held = on.on.held
    name = f"GET {OBJECT_BYTES} bytes over TLS, pipeline 64"
    work = Work(name, 64, 1, held.class_name, held.first, held.count, requests)
    plain = replace(on.on.peer, name="csp, plain")
    peers = [replace(on.whole, name="csp"), on.redis, plain]
    for peer in peers:
        peer.keep_apart()
        run(replace(work, requests=max(requests // 10, 100)), peer, seed=0)
    figures: dict[str, list[Figures]] = {peer.name: [] for peer in peers}
    for number in range(1, rounds + 1):
        for peer in peers:
            figures[peer.name].append(run(work, peer, seed=number))
    costs = {who: [round(one.cpu_us, 4) for one in of] for who, of in figures.items()}
    notes[name] = costs
    return _against(name, costs, {"redis-server": BULK_AT_MOST, "csp, plain": None})


def fanout(
    on: TlsStage, count: int, deliveries: int, rounds: int, notes: dict[str, Any]
) -> list[Row]:
    """One change of 600 bytes to many subscribers by TLS, against PUBLISH."""
    name = f"one change to {count} over TLS"
    value_bytes = on.on.value_bytes(PAYLOAD_BYTES)
    payload = on.on.messages(1, value_bytes).split(b"\r\n")[6]
    costs: dict[str, list[float]] = {}
    with ExitStack() as stack:
        publisher = stack.enter_context(on.publisher())
        sides = [
            _side(
                stack,
                replace(on.workers, name="csp"),
                count,
                on.whole,
                lambda: on.on.change(1, value_bytes),
            ),
            _side(stack, on.redis, count, on.redis, lambda: publisher.publish("cfg", payload)),
        ]
        one_round(sides, 1, 1)
        for _ in range(rounds):
            for who, cost in one_round(sides, 1, max(1, deliveries // count)).items():
                costs.setdefault(who, []).append(round(cost, 4))
    notes[name] = costs
    return _against(name, costs, {"redis-server": FANOUT_AT_MOST})


def _side(stack: ExitStack, peer: Peer, count: int, whole: Peer, go: Callable[[], object]) -> Side:
    from bench.clients import Swarm

    peer.keep_apart()
    return Side(peer, stack.enter_context(Swarm(peer, count)), go, whole.processes)


def shaken(on: TlsStage, count: int, rounds: int, notes: dict[str, Any]) -> list[Row]:
    """Connections that shake hands, ask PING and go; full ones and resumed ones."""
    rows = []
    plain = replace(on.on.peer, name="csp, plain")
    for kind in ("full", "resumed"):
        costs: dict[str, list[float]] = {}
        seen: dict[str, list[Visits]] = {}
        peers = [replace(on.whole, name="csp"), on.redis, plain]
        for peer in peers:
            peer.keep_apart()
            visits(peer, max(count // 10, 2), kind)
        for _ in range(rounds):
            for peer in peers:
                one = visits(peer, count, kind)
                seen.setdefault(peer.name, []).append(one)
                costs.setdefault(peer.name, []).append(round(one.cpu_us, 2))
        name = f"connection with a {kind} handshake"
        resumed = {who: [one.resumed for one in of] for who, of in seen.items()}
        notes[name] = {"us": costs, "resumed": resumed, "of": count}
        rows += _against(name, costs, {"redis-server": HANDSHAKE_AT_MOST, "csp, plain": None})
        if kind == "resumed":
            missed = [float(count - one) for one in resumed["csp"]]
            rows.append(Row("handshakes that were not resumed", "at most the first", missed, 1.0))
    return rows


def instructions(notes: dict[str, Any]) -> list[Row]:
    """A plain GET's instructions against its budget, which was recorded before there was TLS."""
    if shutil.which("valgrind") is None:
        click.echo("instructions: left out, valgrind is missing")
        return []
    found = {one.name: one for one in verdicts(count_instructions())}
    notes["instructions"] = {name: one.count for name, one in found.items()}
    return [
        Row(
            f"instructions of a plain {name}",
            "before",
            [one.count / one.budget],
            INSTRUCTIONS_AT_MOST,
        )
        for name, one in found.items()
        if one.budget and name in ("get", "granted get")
    ]


def _against(
    name: str, costs: dict[str, list[float]], at_most: dict[str, float | None]
) -> list[Row]:
    """csp's costs against those of each other, round by round."""
    return [
        Row(name, who, [a / b for a, b in zip(costs["csp"], costs[who], strict=True)], most)
        for who, most in at_most.items()
    ]
