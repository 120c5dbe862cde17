"""Measures how soon a change is told: from the write at the master to a subscriber of a proxy.

etcd is asked in turn on the same disk: put to watch.  Redis tells without a disk: its publish to
delivery stands beside the hop from the master's own subscriber to the proxy's.
"""

from __future__ import annotations

import selectors
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import click

from bench.crowd import crowd
from bench.fill import fill
from bench.peers import redis_peer
from bench.report import Row, conclude
from bench.returns import returns
from bench.wires import CspWire, EtcdWatch, EtcdWire
from bench.write import etcd, note
from csp.resp import MORE, Decoder, request
from tests.neighbours.server import PASSWORD, Master, Proxy, Server

IDLE_AT_MOST = 1.3
OBJECT_BYTES = 600
VALUE_BYTES = 400
SILENT_SECONDS_MAX = 30.0
PAUSE_SECONDS = 0.005  # between two changes: the servers are idle
WARM = 20  # changes that are not counted
RECEIVE_BYTES = 1 << 16
KEY = "CfgPerson:101"


@click.command()
@click.option("--changes", default=300, show_default=True, help="Of a round, one at a time.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--subscribers", default=10_000, show_default=True, help="Of the crowd.")
@click.option("--seconds", default=10.0, show_default=True, help="Of a round of the crowd.")
@click.option("--clients", default=5_000, show_default=True, help="That lose their master.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
@click.option("--only", type=click.Choice(["idle", "crowd", "return"]), help="These rows alone.")
def push(
    changes: int,
    rounds: int,
    subscribers: int,
    seconds: float,
    clients: int,
    keep: bool,
    only: str | None,
) -> None:
    """From a write to its delivery beside etcd and Redis, in a crowd, and a master's return."""
    notes: dict[str, Any] = {}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="csp-bench-", dir=Path(__file__).parent) as name:
        folder = Path(name)  # on a disk: /tmp may be memory
        if only in (None, "idle"):
            rows += idle(folder, changes, rounds, notes)
        if only in (None, "crowd"):
            rows.append(crowd(folder, subscribers, max(2, rounds // 2), seconds, notes))
        if only in (None, "return"):
            rows += returns(folder, clients, max(1, rounds // 2), notes)
    for key, value in notes.items():
        click.echo(f"{key}: {value}")
    sys.exit(conclude("push", rows, notes, keep=keep))


class Ear:
    """A subscriber of csp or of Redis; it counts what it was told."""

    def __init__(self, port: int, channel: str, password: str | None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self._decoder = Decoder()
        self.events = -1  # the first reply confirms
        if password is not None:
            self.socket.sendall(request("AUTH", "default", password))
            self.events -= 1
        self.socket.sendall(request("SUBSCRIBE", channel))
        while self.events < 0:
            self.take(self.socket.recv(RECEIVE_BYTES))

    def take(self, data: bytes) -> bytes:
        self._decoder.feed(data)
        while self._decoder.next() is not MORE:
            self.events += 1
        return b""


class EtcdEar:
    """The same for a key of etcd."""

    def __init__(self, port: int, key: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self._watch = EtcdWatch(key)
        self._watch.greet(self.socket)
        while self._watch.events < 0:
            self.socket.sendall(self.take(self.socket.recv(RECEIVE_BYTES)))

    @property
    def events(self) -> int:
        return self._watch.events

    def take(self, data: bytes) -> bytes:
        return self._watch.take(data)


def told(
    write: Callable[[int], None], ears: list[Ear | EtcdEar], author: socket.socket, changes: int
) -> list[list[float]]:
    """Milliseconds from each write to each ear, one change at a time."""
    found: list[list[float]] = [[] for _ in ears]
    with selectors.DefaultSelector() as selector:
        for number, ear in enumerate(ears):
            selector.register(ear.socket, selectors.EVENT_READ, number)
        selector.register(author, selectors.EVENT_READ, None)
        for change in range(WARM + changes):
            time.sleep(PAUSE_SECONDS)
            wanted = [ear.events + 1 for ear in ears]
            began = time.monotonic()
            write(change)
            heard: dict[int, float] = {}
            is_answered = False
            while len(heard) < len(ears) or not is_answered:
                ready = selector.select(SILENT_SECONDS_MAX)
                now = time.monotonic()
                if not ready:
                    raise TimeoutError(f"nothing came within {SILENT_SECONDS_MAX:g} s")
                for key, _ in ready:
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(RECEIVE_BYTES)
                    if key.data is None:
                        is_answered = True
                        continue
                    answer = ears[key.data].take(data)
                    if answer:
                        key.fileobj.sendall(answer)
                    if ears[key.data].events >= wanted[key.data]:
                        heard.setdefault(key.data, now)
            if change >= WARM:
                for number, at in heard.items():
                    found[number].append((at - began) * 1000)
    return found


def idle(folder: Path, changes: int, rounds: int, notes: dict[str, Any]) -> list[Row]:
    """One change at a time, nothing else at work."""
    half: list[float] = []
    hundredth: list[float] = []
    hops: list[float] = []
    with ExitStack() as stack:
        (folder / "idle").mkdir()
        master = stack.enter_context(Master(folder / "idle"))
        held = fill(master, "CfgPerson", 10, OBJECT_BYTES)
        proxy = stack.enter_context(Proxy(folder / "idle", master))
        port, _ = stack.enter_context(etcd(folder))
        redis = stack.enter_context(redis_peer([]))
        for _ in range(rounds):
            ours, near = _csp(master, proxy, held.first, changes)
            theirs = _etcd(port, changes)
            published = _redis(redis.port, changes)
            half.append(_part(ours, 0.5) / _part(theirs, 0.5))
            hundredth.append(_part(ours, 0.99) / _part(theirs, 0.99))
            hop = median(there - here for there, here in zip(ours, near, strict=True))
            hops.append(hop / median(published))
            note(notes, "idle", csp_p50_ms=_part(ours, 0.5), csp_p99_ms=_part(ours, 0.99),
                 etcd_p50_ms=_part(theirs, 0.5), etcd_p99_ms=_part(theirs, 0.99),
                 master_to_proxy_ms=hop, redis_ms=median(published))  # fmt: skip
    return [
        Row("write to delivery at a proxy, p50", "etcd put to watch", half, IDLE_AT_MOST),
        Row("write to delivery at a proxy, p99", "etcd put to watch", hundredth, IDLE_AT_MOST),
        Row("from the master's subscriber to the proxy's", "Redis publish", hops, None),
    ]


def _csp(master: Server, proxy: Server, dbid: int, changes: int) -> tuple[list[float], list[float]]:
    channel = f"cfg:CfgPerson:{dbid}"
    wire = CspWire("CfgPerson", dbid, VALUE_BYTES, PASSWORD)
    with socket.create_connection(("127.0.0.1", master.port)) as author:
        author.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.greet(author)
        ears: list[Ear | EtcdEar] = [
            Ear(server.port, channel, PASSWORD) for server in (proxy, master)
        ]
        begin = time.time_ns() // 1_000_000 % 10**11  # no value twice: nothing would change
        there, here = told(
            lambda number: author.sendall(wire.request(begin + number)), ears, author, changes
        )
        for ear in ears:
            ear.socket.close()
    return there, here


def _etcd(port: int, changes: int) -> list[float]:
    wire = EtcdWire(KEY, OBJECT_BYTES)
    with socket.create_connection(("127.0.0.1", port)) as author:
        author.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.greet(author)
        ear = EtcdEar(port, KEY)
        (found,) = told(lambda number: author.sendall(wire.request(number)), [ear], author, changes)
        ear.socket.close()
    return found


def _redis(port: int, changes: int) -> list[float]:
    message = "x" * OBJECT_BYTES
    with socket.create_connection(("127.0.0.1", port)) as author:
        author.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ear = Ear(port, "cfg", None)
        (found,) = told(
            lambda _: author.sendall(request("PUBLISH", "cfg", message)), [ear], author, changes
        )
        ear.socket.close()
    return found


def _part(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
