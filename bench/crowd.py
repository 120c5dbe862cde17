"""Measures deliveries in a crowd of subscribers, some of which stopped reading.

Each object has as many subscribers of its own channel; those that stopped are spread over all.
Compared is the slowest hundredth of the deliveries with them against the same crowd without.
"""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from bench.fill import Filled, fill
from bench.report import Row
from csp.resp import request
from tests.neighbours.server import PASSWORD, Master, Proxy, Server

AT_MOST = 1.5
A_SECOND = 200
SUBSCRIBERS_OF_ONE = 100
STOPPED_PARTS = 100  # one in so many has stopped
OBJECT_BYTES = 600
VALUE_BYTES = 400
RECEIVE_BYTES = 1 << 16
STOPPED_RECEIVE_BYTES = 4096  # of the kernel: it is full after a few messages
WAIT_SECONDS_MAX = 30.0
BATCH = 200  # connections that sign in at once


def crowd(
    folder: Path, subscribers: int, rounds: int, seconds: float, notes: dict[str, Any]
) -> Row:
    """p99 of the deliveries to those that read."""
    ratios = []
    (folder / "crowd").mkdir()
    with ExitStack() as stack:
        master = stack.enter_context(Master(folder / "crowd"))
        objects = max(1, subscribers // SUBSCRIBERS_OF_ONE)
        held = fill(master, "CfgPerson", objects, OBJECT_BYTES)
        proxy = stack.enter_context(Proxy(folder / "crowd", master))
        for _ in range(rounds):
            p99 = []
            for stopped in (0, subscribers // STOPPED_PARTS):
                click.echo(f"{subscribers} subscribers, {stopped} of which don't read")
                with Crowd(proxy, held, subscribers, stopped) as them:
                    latencies = them.hear(master, seconds)
                ordered = sorted(latencies)
                p99.append(ordered[int(0.99 * len(ordered))])
                name = f"crowd, {stopped} stopped"
                notes.setdefault(f"{name}: p50_ms", []).append(round(ordered[len(ordered) // 2], 3))
                notes.setdefault(f"{name}: p99_ms", []).append(round(p99[-1], 3))
                notes.setdefault(f"{name}: deliveries", []).append(len(ordered))
            ratios.append(p99[1] / p99[0])
    name = f"{subscribers} subscribers, {subscribers // STOPPED_PARTS} stopped: p99 of deliveries"
    return Row(name, "none stopped", ratios, AT_MOST)


class Crowd:
    """Subscribers of one object's channel each."""

    def __init__(self, proxy: Server, held: Filled, count: int, stopped: int) -> None:
        self._held = held
        self._selector = selectors.EpollSelector()
        self._readers: list[socket.socket] = []
        self._stopped: list[socket.socket] = []
        every = count // stopped if stopped else count + 1
        for start in range(0, count, BATCH):
            batch = []
            for number in range(start, min(start + BATCH, count)):
                is_stopped = number % every == 0 and stopped > 0
                batch.append(self._connect(proxy.port, number, is_stopped))
            for one in batch:
                _confirm(one)
        for one in self._readers:
            one.setblocking(False)
            self._selector.register(one, selectors.EVENT_READ)

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (*self._readers, *self._stopped):
            one.close()
        self._selector.close()

    def _connect(self, port: int, number: int, is_stopped: bool) -> socket.socket:
        one = socket.socket()
        if is_stopped:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STOPPED_RECEIVE_BYTES)
        one.connect(("127.0.0.1", port))
        (self._stopped if is_stopped else self._readers).append(one)
        dbid = self._held.first + number % self._held.count
        one.sendall(
            request("AUTH", "default", PASSWORD) + request("SUBSCRIBE", f"cfg:CfgPerson:{dbid}")
        )
        return one

    def hear(self, master: Server, seconds: float) -> list[float]:
        """Changes at a steady rate; milliseconds from each write to each of its deliveries."""
        latencies: list[float] = []
        with socket.create_connection(("127.0.0.1", master.port)) as author:
            author.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            author.sendall(request("AUTH", "default", PASSWORD))
            _line(author)
            author.setblocking(False)
            self._selector.register(author, selectors.EVENT_READ, author)
            sent: list[float] = []
            base = time.time_ns() // 1_000_000 % 10**8 * 10_000
            ends = time.monotonic() + seconds
            due = time.monotonic()
            while (now := time.monotonic()) < ends:
                if now >= due:
                    sent.append(now)
                    author.sendall(self._update(base + len(sent) - 1, len(sent) - 1))
                    due = max(due + 1 / A_SECOND, now - 0.1)
                self._receive(max(0.0, due - time.monotonic()), base, sent, latencies)
            quiet = time.monotonic() + 1.0
            while time.monotonic() < quiet:
                self._receive(0.1, base, sent, latencies)
            self._selector.unregister(author)
        return latencies

    def _update(self, value: int, number: int) -> bytes:
        text = f"#{value:012}#".ljust(VALUE_BYTES, "x")
        delta = f'{{"userProperties":{{"changed":{{"bench":{{"value":"{text}"}}}}}}}}'
        dbid = self._held.first + number % self._held.count
        return request("CFG.UPDATE", "CfgPerson", dbid, delta)

    def _receive(self, within: float, base: int, sent: list[float], latencies: list[float]) -> None:
        for key, _ in self._selector.select(within):
            assert isinstance(key.fileobj, socket.socket)
            data = key.fileobj.recv(RECEIVE_BYTES)
            now = time.monotonic()
            if key.data is not None:
                continue  # the author's replies
            at = data.find(b"#")
            while at >= 0:
                number = data[at + 1 : at + 13]
                if number.isdigit():
                    latencies.append((now - sent[int(number) - base]) * 1000)
                at = data.find(b"#", at + 14)


def _confirm(one: socket.socket) -> None:
    """Takes the replies to AUTH and SUBSCRIBE."""
    one.settimeout(WAIT_SECONDS_MAX)
    got = b""
    while not got.startswith(b"+OK\r\n*3\r\n") or not got.endswith(b":1\r\n"):
        data = one.recv(256)
        if not data or got.startswith(b"-"):
            raise ConnectionError(f"a subscriber was refused: {got!r}")
        got += data


def _line(one: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"\r\n"):
        got += one.recv(256)
    return got
