"""Measures reads by filter and brief lists against redis-server that holds the same bytes.

Server CPU per request, in turn, round after round; the first reply of each side in every round is
compared with the other's, object by object.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import orjson
import psutil
import redis

from bench.cpu import cpu_seconds
from bench.fill import fill
from bench.get import csp_peer
from bench.load import Peer
from bench.peers import redis_peer
from bench.report import Row, conclude
from tests.neighbours.server import Master, Proxy, Server

MEMBERS = 100
FILTER_AT_MOST = 0.30
BRIEF_AT_MOST = 0.20
FILTER_REQUESTS = 2_000
BRIEF_REQUESTS = 60
LIST_OBJECTS_MAX = 10_000  # a page of CFG.READ
OBJECT_BYTES = 600

Read = Callable[[], list[bytes]]


class WrongReplies(Exception):
    """csp and redis-server did not answer the same bytes."""


@click.command(name="filter")
@click.option("--rounds", default=9, show_default=True, help="Rounds of each row.")
@click.option(
    "--objects",
    default=LIST_OBJECTS_MAX,
    show_default=True,
    type=click.IntRange(MEMBERS, LIST_OBJECTS_MAX),
    help="Persons in the brief list.",
)
@click.option("--requests", default=0, help="Requests a round instead of each row's own.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def filtered(rounds: int, objects: int, requests: int, keep: bool) -> None:
    """A group's 100 members and a brief list of 10,000, against SMEMBERS and MGET."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master = stack.enter_context(Master(folder))
        click.echo(f"filling a master with {objects} persons and a group of {MEMBERS}")
        held = fill(master, "CfgPerson", objects, OBJECT_BYTES)
        members = list(range(held.first, held.first + MEMBERS))
        group = _group(master, members)
        proxy = stack.enter_context(Proxy(folder, master))
        own = stack.enter_context(proxy.client(decode_responses=False))
        every = ("CFG.READ", "CfgPerson", "BRIEF", "LIMIT", LIST_OBJECTS_MAX)
        brief = _pages(own, *every)
        whole = own.mget([f"CfgPerson:{dbid}" for dbid in members])
        values = [(f"brief:{orjson.loads(text)['DBID']}", text) for text in brief]
        peer = stack.enter_context(
            redis_peer([*values, *((f"{d}", t) for d, t in zip(members, whole, strict=True))])
        )
        other = stack.enter_context(redis.Redis("127.0.0.1", peer.port))
        other.sadd("group", *members)
        peers = [csp_peer("csp", proxy), peer]
        for one in peers:
            one.keep_apart()
        select = ("CFG.READ", "CfgPerson", "FILTER", "group_dbid", group)
        keys = [key for key, _ in values]
        work: list[tuple[str, Read, Read, int, float]] = [
            (
                f"filter read of {MEMBERS}",
                lambda: _pages(own, *select),
                lambda: other.mget(other.smembers("group")),
                requests or FILTER_REQUESTS,
                FILTER_AT_MOST,
            ),
            (
                f"brief list of {len(brief)}",
                lambda: _pages(own, *every),
                lambda: other.mget(keys),
                requests or BRIEF_REQUESTS,
                BRIEF_AT_MOST,
            ),
        ]
        notes: dict[str, Any] = {"brief_bytes": sum(map(len, brief)), "whole_bytes": len(whole[0])}
        rows = [_compare(*row, rounds, peers, notes) for row in work]
    sys.exit(conclude("filter", rows, notes, keep=keep))


def _pages(client: redis.Redis, *command: Any) -> list[bytes]:
    """The objects of all pages, as a client has to fetch them."""
    cursor, found = b"0", []
    while True:
        _, cursor, objects = client.execute_command(*command, "CURSOR", cursor)
        found += objects
        if cursor == b"0":
            return found


def _group(master: Server, members: list[int]) -> int:
    """Makes an agent group of the members; returns its DBID."""
    group = {"groupInfo": {"tenantDBID": 1, "name": "bench"}, "agentDBIDs": members}
    with master.client() as client:
        return int(client.execute_command("CFG.CREATE", "CfgAgentGroup", orjson.dumps(group))[1])


def _compare(
    name: str,
    own: Read,
    other: Read,
    requests: int,
    at_most: float,
    rounds: int,
    peers: list[Peer],
    notes: dict[str, Any],
) -> Row:
    costs: dict[str, list[float]] = {peer.name: [] for peer in peers}
    own(), other()
    for _ in range(rounds):
        seen = []
        for peer, read in zip(peers, (own, other), strict=True):
            reply, cost = _cost(peer.processes, read, requests)
            seen.append(sorted(reply))
            costs[peer.name].append(cost)
        if seen[0] != seen[1]:
            raise WrongReplies(f"{name}: csp and redis-server answer different bytes")
    notes[name] = {who: [round(cost, 2) for cost in of] for who, of in costs.items()}
    ratios = [a / b for a, b in zip(*costs.values(), strict=True)]
    return Row(name, peers[1].name, ratios, at_most)


def _cost(processes: list[psutil.Process], read: Read, requests: int) -> tuple[list[bytes], float]:
    """The last reply, and server CPU a request in microseconds."""
    before = cpu_seconds(processes)
    for _ in range(requests):
        reply = read()
    return reply, (cpu_seconds(processes) - before) / requests * 1e6
