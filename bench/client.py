"""Measures what csp.client and redis-py cost the process that uses them, against the same server.

CPU of this process a request, in turn, round after round, with and without hiredis, on blocking
sockets and on asyncio. Every reply is decoded to dicts; in every round the last ones are compared.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

import click
import orjson
import redis
import redis.asyncio
from redis._parsers import _AsyncHiredisParser, _AsyncRESP3Parser, _HiredisParser, _RESP3Parser

from bench.fill import Filled, fill
from bench.report import Row, conclude
from csp.client import Address, AsyncClient, Client, Credentials, decoding
from tests.neighbours.server import PASSWORD, Master, Proxy, Server

PIPELINE = 64
PAGE = 100
OBJECTS = 1_000
OBJECT_BYTES = 600
ROWS = ("GET", f"pipeline of {PIPELINE} GETs", f"page of {PAGE}")
OWN, OTHER = "csp.client", "redis-py"

Objects = list[dict[str, Any]]
Work = Callable[[], Any]  # gives objects, or a coroutine that does


class WrongReplies(Exception):
    """The clients gave different objects for the same request."""


class Setting(NamedTuple):
    """How the clients wait, what decodes their replies, and what they ask for."""

    on_asyncio: bool
    hiredis: bool
    server: Server
    held: Filled

    @property
    def name(self) -> str:
        waits = "asyncio" if self.on_asyncio else "blocking"
        return f"{waits}, {'hiredis' if self.hiredis else 'Python'}"

    @property
    def keys(self) -> list[str]:
        """Of the objects that are asked for; the first is that of GET."""
        return [f"{self.held.class_name}:{self.held.first + at}" for at in range(PIPELINE)]


@click.command()
@click.option("--rounds", default=9, show_default=True, help="Rounds of each row.")
@click.option("--requests", default=4_000, show_default=True, help="GETs a round; others a tenth.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def client(rounds: int, requests: int, keep: bool) -> None:
    """CPU a request of csp.client against redis-py: GET, a pipeline of GETs, a page."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master = stack.enter_context(Master(folder))
        click.echo(f"filling a master with {OBJECTS} persons")
        held = fill(master, "CfgPerson", OBJECTS, OBJECT_BYTES)
        proxy = stack.enter_context(Proxy(folder, master, workers=1))
        rows: list[Row] = []
        notes: dict[str, Any] = {}
        for on_asyncio in (False, True):
            for hiredis in (True, False):
                setting = Setting(on_asyncio, hiredis, proxy, held)
                rows += _compare(setting, rounds, requests, notes)
    for name, costs in notes.items():
        told = ", ".join(f"{who} {median(of):.1f}" for who, of in costs.items())
        click.echo(f"microseconds, {name}: {told}")
    sys.exit(conclude("client", rows, notes, keep=keep))


def _compare(setting: Setting, rounds: int, requests: int, notes: dict[str, Any]) -> list[Row]:
    """Both clients in turn, round after round; the ratios are taken within a round."""
    rows = []
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        if not setting.hiredis:  # csp.client as it decodes where hiredis is not installed
            stack.enter_context(patch.object(decoding, "hiredis", None))
        works = {
            who: make(setting, stack, runner) for who, make in MAKERS[setting.on_asyncio].items()
        }
        for at, work in enumerate(ROWS):
            count = requests if work == "GET" else max(1, requests // 10)
            costs: dict[str, list[float]] = {OWN: [], OTHER: []}
            for _ in range(rounds):
                seen = []
                for who, of in costs.items():
                    result, cost = _cost(runner, works[who][at], count)
                    seen.append(result)
                    of.append(cost)
                if seen[0] != seen[1] or not seen[0]:
                    raise WrongReplies(f"{work}, {setting.name}")
            row = f"{work}, {setting.name}"
            notes[row] = {who: [round(cost, 2) for cost in of] for who, of in costs.items()}
            ratios = [a / b for a, b in zip(*costs.values(), strict=True)]
            rows.append(Row(row, OTHER, ratios, None))
    return rows


def _cost(runner: asyncio.Runner, work: Work, count: int) -> tuple[Objects, float]:
    """The last result, and CPU of this process a request in microseconds."""

    async def repeated() -> tuple[Objects, float]:
        await work()
        before = time.process_time()
        for _ in range(count):
            result = await work()
        return result, time.process_time() - before

    if inspect.iscoroutinefunction(work):
        result, seconds = runner.run(repeated())
    else:
        work()
        before = time.process_time()
        for _ in range(count):
            result = work()
        seconds = time.process_time() - before
    return result, seconds / count * 1e6


# ------------------------------------------------------------------ the work, in the order of ROWS


def own_blocking(setting: Setting, stack: ExitStack, runner: asyncio.Runner) -> list[Work]:
    """csp.client, blocking."""
    own = Client(Address("127.0.0.1", setting.server.port), Credentials("default", PASSWORD))
    stack.callback(own.close)
    held, commands = setting.held, [("GET", key) for key in setting.keys]
    return [
        lambda: [own.get(held.class_name, held.first) or {}],
        lambda: decoded(own.pipeline(commands)),
        lambda: own.page(held.class_name, limit=PAGE).objects,
    ]


def own_async(setting: Setting, stack: ExitStack, runner: asyncio.Runner) -> list[Work]:
    """csp.client on asyncio."""
    own = AsyncClient(Address("127.0.0.1", setting.server.port), Credentials("default", PASSWORD))
    stack.callback(own.close)
    held, commands = setting.held, [("GET", key) for key in setting.keys]

    async def get() -> Objects:
        return [await own.get(held.class_name, held.first) or {}]

    async def pipeline() -> Objects:
        return decoded(await own.pipeline(commands))

    async def page() -> Objects:
        return (await own.page(held.class_name, limit=PAGE)).objects

    return [get, pipeline, page]


def redis_blocking(setting: Setting, stack: ExitStack, runner: asyncio.Runner) -> list[Work]:
    """redis-py, blocking, and orjson for what it gives."""
    parser = _HiredisParser if setting.hiredis else _RESP3Parser
    pool = redis.ConnectionPool(parser_class=parser, **_options(setting))
    stack.callback(pool.disconnect)
    other, keys, read = redis.Redis(connection_pool=pool), setting.keys, _read(setting)

    def pipeline() -> Objects:
        pipe = other.pipeline(transaction=False)
        for key in keys:
            pipe.get(key)
        return decoded(pipe.execute())

    return [
        lambda: decoded([other.get(keys[0])]),
        pipeline,
        lambda: decoded(other.execute_command(*read)[2]),
    ]


def redis_async(setting: Setting, stack: ExitStack, runner: asyncio.Runner) -> list[Work]:
    """redis-py on asyncio, and orjson for what it gives."""
    parser = _AsyncHiredisParser if setting.hiredis else _AsyncRESP3Parser
    pool = redis.asyncio.ConnectionPool(parser_class=parser, **_options(setting))
    stack.callback(lambda: runner.run(pool.disconnect()))
    other, keys, read = redis.asyncio.Redis(connection_pool=pool), setting.keys, _read(setting)

    async def get() -> Objects:
        return decoded([await other.get(keys[0])])

    async def pipeline() -> Objects:
        pipe = other.pipeline(transaction=False)
        for key in keys:
            pipe.get(key)
        return decoded(await pipe.execute())

    async def page() -> Objects:
        return decoded((await other.execute_command(*read))[2])

    return [get, pipeline, page]


MAKERS = {
    False: {OWN: own_blocking, OTHER: redis_blocking},
    True: {OWN: own_async, OTHER: redis_async},
}


def _options(setting: Setting) -> dict[str, Any]:
    where = {"host": "127.0.0.1", "port": setting.server.port}
    return where | {"username": "default", "password": PASSWORD, "protocol": 3}


def _read(setting: Setting) -> tuple[str | int, ...]:
    return "CFG.READ", setting.held.class_name, "LIMIT", PAGE


def decoded(replies: Any) -> Objects:
    """What a pipeline or a page gave, as dicts."""
    return [orjson.loads(reply) for reply in replies]
