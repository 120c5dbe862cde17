"""Measures what a master's return costs it: clients of its own against the same behind two proxies.

The master is killed and started again; then so many changes are missed by nobody: each client goes
on by CFG.FROM from where it was.  Counted are the master's CPU and the bytes that it sends from the
moment in which it serves until all are current.
"""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from bench.cpu import cpu_seconds
from bench.fill import Filled, fill
from bench.report import Row
from csp.resp import MORE, Decoder, request
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until

AT_MOST = 1 / 20
OBJECTS = 1_000
OBJECT_BYTES = 600
MISSED = 100  # changes
WAIT_SECONDS_MAX = 60.0
RECEIVE_BYTES = 1 << 18
BATCH = 100  # clients that come back at once
PROXIES = 2
REST_SECONDS = 1.0
REST_SHARE = 0.03  # of a core
COUNTED_SECONDS = 0.1  # the counters of a worker are so old at most


def returns(folder: Path, clients: int, rounds: int, notes: dict[str, Any]) -> list[Row]:
    """CPU and bytes, a row each."""
    cpu: list[float] = []
    sent: list[float] = []
    (folder / "return").mkdir()
    with ExitStack() as stack:
        master = stack.enter_context(Master(folder / "return"))
        held = fill(master, "CfgPerson", OBJECTS, OBJECT_BYTES)
        for number in range(rounds):
            click.echo(f"the master returns to {clients} clients, then to two proxies")
            direct = _direct(master, held, clients, 2 * number)
            through = _through(folder, master, held, 2 * number + 1)
            cpu.append(through[0] / direct[0])
            sent.append(through[1] / direct[1])
            for name, (seconds, sent_bytes) in (("direct", direct), ("proxies", through)):
                notes.setdefault(f"return, {name}: cpu_ms", []).append(round(seconds * 1000, 1))
                notes.setdefault(f"return, {name}: bytes", []).append(sent_bytes)
    return [
        Row("the master's return to two proxies, CPU", f"{clients} clients", cpu, AT_MOST),
        Row("the master's return to two proxies, bytes", f"{clients} clients", sent, AT_MOST),
    ]


def _direct(master: Master, held: Filled, clients: int, number: int) -> tuple[float, int]:
    place = _place(master)
    _change(master, held, number)
    spent = _Spent(master, _again(master))
    for start in range(0, clients, BATCH):
        them = [_Client(master.port, place) for _ in range(min(BATCH, clients - start))]
        for one in them:
            one.take(MISSED)
        for one in them:
            one.close()
    return spent.so_far()


def _through(folder: Path, master: Master, held: Filled, number: int) -> tuple[float, int]:
    with ExitStack() as stack:
        ways = [CuttingLink(master.port) for _ in range(PROXIES)]
        for way in ways:
            stack.callback(way.close)
        proxies = [
            stack.enter_context(Proxy(folder / "return", way.port, app=f"near{at}"))
            for at, way in enumerate(ways)
        ]
        for proxy in proxies:
            wait_until(lambda proxy=proxy: _place(proxy) == _place(master), 20, "the proxies")
        for way in ways:
            way.refuses = True
            way.cut()
        _change(master, held, number)
        at_rest = _again(master)
        there = _place(master)
        spent = _Spent(master, at_rest)
        for way in ways:
            way.refuses = False
        for proxy in proxies:  # the master is not asked meanwhile: that would count
            wait_until(lambda proxy=proxy: _place(proxy) == there, WAIT_SECONDS_MAX, "current")
        return spent.so_far()


class _Client:
    """Goes on behind a place."""

    def __init__(self, port: int, place: tuple[int, str]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS_MAX)
        self._decoder = Decoder()
        self._socket.sendall(
            request("AUTH", "default", PASSWORD)
            + request("CFG.FROM", place[0], "MARK", place[1])
            + request("SUBSCRIBE", "cfg")
        )

    def take(self, messages: int) -> None:
        """Reads the three replies and so many messages."""
        left = messages + 3
        while left:
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionError("the master closed a client")
            self._decoder.feed(data)
            while left and self._decoder.next() is not MORE:
                left -= 1

    def close(self) -> None:
        self._socket.close()


def _place(server: Server) -> tuple[int, str]:
    with server.client(protocol=3, decode_responses=True) as client:
        told = client.execute_command("CFG.STATUS")
    return int(told["revision"]), str(told["mark"])


def _change(master: Server, held: Filled, number: int) -> None:
    with master.client() as client:
        pipe = client.pipeline(transaction=False)
        for at in range(MISSED):
            delta = f'{{"changed":{{"firstName":"r{number}.{at}"}}}}'
            pipe.execute_command("CFG.UPDATE", "CfgPerson", held.first + at % held.count, delta)
        pipe.execute()


def _again(master: Master) -> float:
    """Everything of the master dies, and it is started again; its share of a core at rest."""
    master.kill()
    master.start()
    # What a start does behind its readiness is over when the processes rest.
    processes = list(master.children().values())
    seen = [cpu_seconds(processes)]

    def is_at_rest() -> bool:
        time.sleep(REST_SECONDS)
        seen.append(cpu_seconds(processes))
        return seen[-1] - seen[-2] < REST_SHARE * REST_SECONDS

    wait_until(is_at_rest, WAIT_SECONDS_MAX, "the master rests")
    return (seen[-1] - seen[-2]) / REST_SECONDS


class _Spent:
    """What a master spends from now on, beyond what it does at rest."""

    def __init__(self, master: Master, at_rest: float) -> None:
        self._master = master
        self._at_rest = at_rest
        self._cpu, self._sent = self._counted()
        self._began = time.monotonic()

    def so_far(self) -> tuple[float, int]:
        """Seconds of CPU, and bytes sent."""
        time.sleep(COUNTED_SECONDS)
        elapsed = time.monotonic() - self._began
        cpu, sent = self._counted()
        return max(0.0, cpu - self._cpu - self._at_rest * elapsed), sent - self._sent

    def _counted(self) -> tuple[float, int]:
        with self._master.client() as client:
            sent = int(client.info("stats")["total_net_output_bytes"])
        return cpu_seconds(list(self._master.children().values())), sent
