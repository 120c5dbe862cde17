"""Measures reads by key: one worker against redis-server and against the limit of this machine.

All servers hold the same bytes under the same keys and get the same load in turn, round after
round; what is compared is the server's CPU time per key, because wall clock on a shared machine
tells more about the neighbours. Every reply is checked to be the object that was asked for.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click
import psutil

from bench.fill import Filled, fill
from bench.load import Figures, Peer, Work, run
from bench.peers import limit_peer, redis_peer
from bench.report import Row, conclude
from tests.neighbours.server import PASSWORD, Master, Proxy, Server

# work, pipeline, keys a request, which objects, requests a round, at most × redis, at most × limit
TABLE = (
    ("GET 600 bytes, pipeline 64", 64, 1, "small", 640_000, 0.30, 1.8),
    ("GET 600 bytes, pipeline 16", 16, 1, "small", 400_000, 0.48, 1.6),
    ("GET 600 bytes, no pipeline", 1, 1, "small", 100_000, 0.97, 1.2),
    ("GET 2,500 bytes, pipeline 16", 16, 1, "large", 320_000, 0.50, 1.9),
    ("MGET of 50", 1, 50, "small", 8_000, 0.35, None),
)
TWO_WORKERS_AT_MOST = 1.1


@click.command()
@click.option("--rounds", default=9, show_default=True, help="Rounds of each row.")
@click.option("--objects", default=100_000, show_default=True, help="Objects of each size.")
@click.option("--only", default="", help="Only rows whose name holds this text.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def get(rounds: int, objects: int, only: str, keep: bool) -> None:
    """GET and MGET against redis-server and the limit server, by server CPU per key."""
    rows: list[Row] = []
    notes: dict[str, object] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master = stack.enter_context(Master(folder))
        click.echo(f"filling a master with 2 x {objects} objects")
        filled = {
            "small": fill(master, "CfgPerson", objects, 600),
            "large": fill(master, "CfgPlace", objects, 2_500),
        }
        one = stack.enter_context(Proxy(folder, master, workers=1, app="one"))
        two = stack.enter_context(Proxy(folder, master, workers=2, app="two"))
        redis = stack.enter_context(redis_peer(objects_of(one, filled)))
        for name, pipeline, keys, size, requests, redis_max, limit_max in TABLE:
            if only in name:
                held = filled[size]
                work = Work(name, pipeline, keys, held.class_name, held.first, held.count, requests)
                peers = [csp_peer("csp", one), redis]
                rows += _compare(work, peers, held.mean_bytes, rounds, redis_max, limit_max, notes)
        if not only or only in "two workers":
            rows.append(_two_workers(filled["small"], one, two, rounds))
    sys.exit(conclude("get", rows, notes, keep=keep))


def objects_of(server: Server, filled: dict[str, Filled]) -> Iterator[tuple[str, bytes]]:
    """All objects as the server answers them, under keys as the load spells them."""
    client = server.client(decode_responses=False)
    for held in filled.values():
        for begin in range(held.first, held.first + held.count, 1_000):
            end = min(begin + 1_000, held.first + held.count)
            keys = [f"{held.class_name}:{dbid:08}" for dbid in range(begin, end)]
            yield from zip(keys, client.mget(keys), strict=True)


def csp_peer(name: str, server: Server) -> Peer:
    """A csp server with all its processes, as a peer under load."""
    assert server.process is not None
    processes = [psutil.Process(server.process.pid), *server.children().values()]
    return Peer(name, server.port, processes, "default", PASSWORD)


def _compare(
    work: Work,
    peers: list[Peer],
    object_bytes: int,
    rounds: int,
    redis_max: float,
    limit_max: float | None,
    notes: dict[str, object],
) -> list[Row]:
    """All peers in turn, round after round; the ratios are taken within a round."""
    sizes = work.request_bytes, object_bytes + len(f"${object_bytes}\r\n\r\n")
    with limit_peer(*sizes) as limit, limit_peer(*sizes, objects=work.count) as copying:
        every = [*peers, limit, copying] if limit_max is not None else peers
        for peer in every:
            peer.keep_apart()
            run(replace(work, requests=max(work.requests // 10, 100)), peer, seed=0)
        figures: dict[str, list[Figures]] = {peer.name: [] for peer in every}
        for number in range(1, rounds + 1):
            for peer in every:
                figures[peer.name].append(run(work, peer, seed=number))
    own = figures.pop("csp")
    notes[work.name] = {
        name: [round(f.cpu_us, 4) for f in runs] for name, runs in {"csp": own, **figures}.items()
    }
    at_most = {"redis-server": redis_max, "limit": limit_max, copying.name: None}
    return [
        Row(
            work.name,
            name,
            [a.cpu_us / b.cpu_us for a, b in zip(own, runs, strict=True)],
            at_most[name],
        )
        for name, runs in figures.items()
    ]


def _two_workers(held: Filled, one: Server, two: Server, rounds: int) -> Row:
    work = Work("GET, two workers", 16, 1, held.class_name, held.first, held.count, 400_000)
    pair = csp_peer("two", two), csp_peer("one", one)
    for peer in pair:
        peer.keep_apart()
    ratios = []
    for number in range(rounds):
        cpu = [run(work, peer, seed=number).cpu_us for peer in pair]
        ratios.append(cpu[0] / cpu[1])
    return Row(work.name, "one worker", ratios, TWO_WORKERS_AT_MOST)
