"""Measures the longest turn of a worker's loop while one client asks much of it.

1. A turn's length is the worker's CPU as it counts it itself (`longest_turn_us`); one that does not
   count it is judged by the longest wait of another client, which is told in any case.
2. Of several rounds the worst is judged: a budget that is kept mostly is not kept.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import click

from bench.clients import Client, Swarm
from bench.report import Row, conclude
from bench.requests import Requests, keys, write
from bench.resident import at_rest
from bench.stage import Stage, stage, worker_peer
from csp._fastpath import Control
from csp.store import segment

TURN_MS_AT_MOST = 10.0
METRIC = "longest_turn_us"
VALUE_BYTES = 40
OBJECT_BYTES = 300
OBJECTS = 15_000
READERS, CHANGES = 600, 10_000
LARGE_READERS, LARGE_BYTES = 100, 4 << 20
PATTERNS, LOOSE_PATTERNS, MATCHED_CHANGES = 10_000, 32, 300
LOOSE_CLIENTS = 32  # with LOOSE_PATTERNS patterns each: as many as a worker takes
# No name ends in x, which is seen at once; all else of the second fits all persons.
LOOSE_FORMS = ("cfg" + "*?" * 20 + "*{}*x", "*c*f*g*:*C*f*g*P*e*r*s*o*n*:*{}*")
COUNTS = 1_500
KEYS = 1_000_000

QUICK_READERS, QUICK_CHANGES, QUICK_ROUNDS = 200, 2_000, 1

Act = Callable[[Stage], dict[str, Any]]


@click.command()
@click.option("--readers", default=READERS, show_default=True, help="Of the large transaction.")
@click.option("--changes", default=CHANGES, show_default=True, help="Of that transaction.")
@click.option(
    "--large-readers", default=LARGE_READERS, show_default=True, help="Of a change of 4 MiB."
)
@click.option("--patterns", default=PATTERNS, show_default=True, help="Of one client.")
@click.option("--objects", default=OBJECTS, show_default=True, help="Persons in the store.")
@click.option("--counts", default=COUNTS, show_default=True, help="Filtered counts of an EXEC.")
@click.option("--keys", "key_count", default=KEYS, show_default=True, help="Of an MGET.")
@click.option("--rounds", default=3, show_default=True, help="Rounds of each; the worst counts.")
@click.option("--quick", is_flag=True, help="Smaller and once, within a minute.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def turns(
    readers: int,
    changes: int,
    large_readers: int,
    patterns: int,
    objects: int,
    counts: int,
    key_count: int,
    rounds: int,
    quick: bool,
    keep: bool,
) -> None:
    """The longest turn, and another client's longest GET, under heavy loads."""
    if quick:
        readers, changes, rounds = QUICK_READERS, QUICK_CHANGES, QUICK_ROUNDS
    notes: dict[str, Any] = {}
    rows: list[Row] = []
    with stage(objects, OBJECT_BYTES) as on:
        works: list[tuple[str, Act]] = [
            (f"{changes} changes to {readers} readers", lambda on: _tell(on, readers, changes)),
            (
                f"one change of 4 MiB to {large_readers} readers",
                lambda on: _tell_large(on, large_readers),
            ),
            (
                f"{patterns} patterns of one client, {MATCHED_CHANGES} changes",
                lambda on: _match(on, [_pattern_commands(on, patterns, 0)]),
            ),
            (
                f"{LOOSE_CLIENTS} x {LOOSE_PATTERNS} loose patterns, {MATCHED_CHANGES} changes",
                lambda on: _match(
                    on,
                    [
                        _pattern_commands(on, LOOSE_PATTERNS, client)
                        for client in range(LOOSE_CLIENTS)
                    ],
                ),
            ),
            (f"EXEC of {counts} counts over {objects}", lambda on: _asked(on, _exec(on, counts))),
            (f"MGET of {key_count} keys", lambda on: _asked(on, _mget(on, key_count))),
        ]
        for name, act in works:
            rows += _watched(on, name, act, rounds, notes)
    sys.exit(conclude("turns", rows, notes, keep=keep))


def _watched(on: Stage, name: str, act: Act, rounds: int, notes: dict[str, Any]) -> list[Row]:
    """The worst of the rounds, while another client gets one object after the other."""
    own = worker_peer(on)
    key = f"{on.held.class_name}:{on.held.first}"
    turns, waits = [], []
    with Client("prober", own.port, own.user, own.password, key) as prober:
        for number in range(rounds):
            at_rest(on.workers)
            _reset(on)
            prober.ask("begin")
            seen = act(on)
            at_rest(on.workers)
            waits.append(prober.ask("look")["max_us"] / 1000)
            turns.append(_longest_ms(on))
            notes[f"{name}, {number}"] = {**seen, "turn_ms": turns[-1], "longest_get_ms": waits[-1]}
    wait = Row(f"{name}: another's longest GET", "ms", [max(waits)], None)
    counted = [one for one in turns if one is not None]
    if counted:
        return [Row(f"{name}: turn", "ms", [max(counted)], TURN_MS_AT_MOST), wait]
    return [Row(f"{name}: turn, by another's GET", "ms", [max(waits)], TURN_MS_AT_MOST)]


def _reset(on: Stage) -> None:
    with on.proxy.client() as client:
        client.config_resetstat()


def _longest_ms(on: Stage) -> float | None:
    """Of the only worker since _reset; None: it does not count them."""
    with on.proxy.client() as client:
        instance = str(client.execute_command("CFG.STATUS")["instance"])
    counters = Control(segment.open_control(instance)).slot_counters(0)
    return counters[METRIC] / 1000 if METRIC in counters else None


# ------------------------------------------------------------------ what is asked of the worker


def _tell(on: Stage, readers: int, changes: int) -> dict[str, Any]:
    with Swarm(worker_peer(on), readers) as swarm:
        at_rest(on.workers)
        _reset(on)
        swarm.tell(f"take {changes}")
        on.change(changes, VALUE_BYTES)
        return swarm.taken(changes)


def _tell_large(on: Stage, readers: int) -> dict[str, Any]:
    with Swarm(worker_peer(on), readers) as swarm:
        at_rest(on.workers)
        _reset(on)
        swarm.tell("take 1")
        on.change_large(LARGE_BYTES)
        seen = swarm.taken(1)
    on.arrived(on.change_large(VALUE_BYTES))  # else later changes of it carry all of it
    return seen


def _match(on: Stage, clients: list[Requests]) -> dict[str, Any]:
    with ExitStack() as stack:
        for requests in clients:
            asker = stack.enter_context(requests.asker(worker_peer(on)))
            subscribed = asker.ask("ask")
            if subscribed["errors"] or subscribed["stuck"]:
                raise ValueError(f"the patterns were refused: {subscribed}")
        on.arrived(on.change(MATCHED_CHANGES, VALUE_BYTES))
        at_rest(on.workers)
        return subscribed


def _asked(on: Stage, requests: Requests) -> dict[str, Any]:
    with requests.asker(worker_peer(on)) as asker:
        return asker.ask("ask")


def _pattern_commands(on: Stage, patterns: int, client: int) -> Requests:
    """So many patterns, LOOSE_PATTERNS of them more than a class, a tenant, a DBID and stars."""
    plain = list(_plain_patterns(on.held.first, patterns - LOOSE_PATTERNS))
    rest = [
        LOOSE_FORMS[n % len(LOOSE_FORMS)].format(client * LOOSE_PATTERNS + n)
        for n in range(LOOSE_PATTERNS)
    ]
    commands = [("PSUBSCRIBE", *some) for some in (plain, rest) if some]
    return write(on.folder / f"patterns-{client}", commands, len(plain) + len(rest))


def _plain_patterns(first: int, count: int) -> Iterator[str]:
    forms = ("cfg:*:{}", "cfg@*:CfgPerson:{}", "cfg@1:*:{}", "cfg@*:*:{}")
    for number in range(count):
        yield forms[number % len(forms)].format(first + number // len(forms))


def _exec(on: Stage, counts: int) -> Requests:
    one = ("CFG.COUNT", "CfgPerson", "FILTER", "tenant_dbid", 1, "FILTER", "state", "enabled")
    commands: list[tuple[object, ...]] = [("MULTI",), *[one] * counts, ("EXEC",)]
    return write(on.folder / f"exec-{counts}", commands, len(commands))


def _mget(on: Stage, key_count: int) -> Requests:
    return write(on.folder / f"mget-{key_count}", [("MGET", *keys(on.held, key_count))], 1)
