"""Measures reads by filter and brief lists against redis-server that holds the same bytes.

Server CPU per request, in turn, round after round; the last reply of each side in every round is
compared with the other's, object by object. The limit server sends as many bytes, always the same,
for one request: what a server must at least spend on this machine, whatever it is.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
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
from bench.peers import limit_peer, redis_peer
from bench.report import Row, conclude
from tests.neighbours.server import Master, Proxy, Server

MEMBERS = 100
FILTER_AT_MOST = 0.30
BRIEF_AT_MOST = 0.20
FILTER_REQUESTS = 2_000
BRIEF_REQUESTS = 60
LIST_OBJECTS_MAX = 10_000  # a page of CFG.READ
OBJECT_BYTES = 600
LIMIT_REQUEST = b"x" * 100
RECEIVE_BYTES = 65536  # as redis-py receives

Read = Callable[[], list[bytes]]


@dataclass(frozen=True)
class Work:
    """One row: how csp and redis-server are asked for the same objects."""

    name: str
    own: Read
    other: Read
    requests: int
    at_most: float


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
        work = [
            Work(
                f"filter read of {MEMBERS}",
                lambda: _pages(own, *select),
                lambda: other.mget(other.smembers("group")),
                requests or FILTER_REQUESTS,
                FILTER_AT_MOST,
            ),
            Work(
                f"brief list of {len(brief)}",
                lambda: _pages(own, *every),
                lambda: other.mget(keys),
                requests or BRIEF_REQUESTS,
                BRIEF_AT_MOST,
            ),
        ]
        notes: dict[str, Any] = {"brief_bytes": sum(map(len, brief)), "whole_bytes": len(whole[0])}
        rows = [row for one in work for row in _compare(one, rounds, peers, notes)]
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


def _compare(work: Work, rounds: int, peers: list[Peer], notes: dict[str, Any]) -> list[Row]:
    costs: dict[str, list[float]] = {name: [] for name in (*(p.name for p in peers), "limit")}
    reply_bytes = sum(map(len, work.own()))
    work.other()
    with (
        limit_peer(len(LIMIT_REQUEST), reply_bytes) as limit,
        _Canned(limit, reply_bytes) as canned,
    ):
        limit.keep_apart()
        reads = [*zip(peers, (work.own, work.other), strict=True), (limit, canned.read)]
        for _ in range(rounds):
            seen = []
            for peer, read in reads:
                reply, cost = _cost(peer.processes, read, work.requests)
                seen.append(sorted(reply))
                costs[peer.name].append(cost)
            if seen[0] != seen[1]:
                raise WrongReplies(f"{work.name}: csp and redis-server answer different bytes")
    notes[work.name] = {who: [round(cost, 2) for cost in of] for who, of in costs.items()}
    own, other, bare = costs.values()
    return [
        Row(
            work.name, peers[1].name, [a / b for a, b in zip(own, other, strict=True)], work.at_most
        ),
        Row(work.name, "limit", [a / b for a, b in zip(own, bare, strict=True)], None),
        Row(
            f"limit, {work.name}",
            peers[1].name,
            [a / b for a, b in zip(bare, other, strict=True)],
            None,
        ),
    ]


class _Canned:
    """Takes the limit server's bytes as redis-py takes replies: so many at a time."""

    def __init__(self, limit: Peer, reply_bytes: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", limit.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reply_bytes = reply_bytes

    def __enter__(self) -> _Canned:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def read(self) -> list[bytes]:
        """One request, all bytes of its reply."""
        self._socket.sendall(LIMIT_REQUEST)
        left, pieces = self._reply_bytes, []
        while left:
            piece = self._socket.recv(RECEIVE_BYTES)
            if not piece:
                raise WrongReplies("the limit server closed the connection")
            left -= len(piece)
            pieces.append(piece)
        return pieces


def _cost(processes: list[psutil.Process], read: Read, requests: int) -> tuple[list[bytes], float]:
    """The last reply, and server CPU a request in microseconds."""
    before = cpu_seconds(processes)
    for _ in range(requests):
        reply = read()
    return reply, (cpu_seconds(processes) - before) / requests * 1e6
