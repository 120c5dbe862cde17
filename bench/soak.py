"""Lets a master and its proxy work for long, and tells whether their memory stays as it is.

200 changes a second, reads, and clients that come and go, some in the middle of a page; the store
is so small that the change log is full and trimmed soon.  From then on the memory that each process
has for itself, and the store's, is looked at every few seconds: what the last looks have more than
the first ones is growth.
"""

from __future__ import annotations

import itertools
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import click

from bench.fill import Filled, fill
from bench.report import Row, conclude
from csp.resp import request
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until

GROWTH_AT_MOST = 1.01
CHANGES_A_SECOND = 200
OBJECTS = 2_000
OBJECT_BYTES = 600
RESERVE = "64MB"
READS_A_SECOND = 500
COMINGS_A_SECOND = 20
LOOK_SECONDS = 5.0
PART = 5  # the first and the last fifth of the looks are compared
LOG_FULL_SECONDS_MAX = 900.0
FIRST_CHANGES = 2  # revisions: what made the configuration
SEED = 1


@click.command()
@click.option("--minutes", default=60.0, show_default=True, help="Of looks.")
@click.option("--warm", default=5.0, show_default=True, help="Minutes from the full log to them.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def soak(minutes: float, warm: float, keep: bool) -> None:
    """Memory of all processes under steady work."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-soak-")))
        extra = ("--reserve", RESERVE)
        master = stack.enter_context(Master(folder, workers=2, extra=extra))
        held = fill(master, "CfgPerson", OBJECTS, OBJECT_BYTES)
        proxy = stack.enter_context(
            Proxy(folder, master, workers=2, extra=("--create-app", *extra))
        )
        servers = {"master": master, "proxy": proxy}
        work = Work(master, proxy, held)
        stack.callback(work.stop)
        work.start()
        click.echo("waiting until both logs are trimmed")
        wait_until(
            lambda: all(_is_trimmed(server) for server in servers.values()),
            LOG_FULL_SECONDS_MAX,
            "the log is full",
        )
        time.sleep(warm * 60)  # the database's cache fills, 64 MiB of it
        looks = _look(servers, minutes * 60, work)
    rows = [_row(name, values) for name, values in sorted(looks.items())]
    notes: dict[str, object] = {"minutes": minutes, "warm": warm} | work.counted
    for key, value in notes.items():
        click.echo(f"{key}: {value}")
    for fault in work.faults:
        click.echo(f"FAULT: {fault}", err=True)
    sys.exit(conclude("soak", rows, notes, keep=keep) or bool(work.faults))


class Work:
    """What clients do meanwhile, each kind in a thread of its own."""

    def __init__(self, master: Server, proxy: Server, held: Filled) -> None:
        self.faults: list[str] = []
        self.counted = {"changes": 0, "reads": 0, "connections": 0}
        self._master, self._proxy, self._held = master, proxy, held
        self._over = threading.Event()
        works: list[tuple[Callable[[], Callable[[], None]], int]] = [
            (self._changer, CHANGES_A_SECOND),
            (self._reader, READS_A_SECOND),
            (self._comer, COMINGS_A_SECOND),
        ]
        self._threads = [
            threading.Thread(target=self._run, args=(make, rate), daemon=True)
            for make, rate in works
        ]

    def start(self) -> None:
        """Begins."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends."""
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, make: Callable[[], Callable[[], None]], a_second: int) -> None:
        try:
            step = make()
            due = time.monotonic()
            while not self._over.is_set():
                step()
                due = max(due + 1 / a_second, time.monotonic() - 1)
                self._over.wait(max(0.0, due - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - a thread's fault is the run's
            self.faults.append(f"{type(error).__name__}: {error}")

    def _changer(self) -> Callable[[], None]:
        client, numbers = self._master.client(), itertools.count(1)

        def change() -> None:
            number = next(numbers)
            delta = f'{{"changed":{{"firstName":"soak {number}"}}}}'
            dbid = self._held.first + number % self._held.count
            client.execute_command("CFG.UPDATE", "CfgPerson", dbid, delta)
            self.counted["changes"] += 1

        return change

    def _reader(self) -> Callable[[], None]:
        client, drawn = self._proxy.client(), random.Random(SEED)

        def read() -> None:
            if drawn.random() < 0.02:
                client.execute_command("CFG.READ", "CfgPerson", "LIMIT", 200)
            else:
                client.get(f"CfgPerson:{self._held.first + drawn.randrange(self._held.count)}")
            self.counted["reads"] += 1

        return read

    def _comer(self) -> Callable[[], None]:
        drawn = random.Random(SEED)

        def come_and_go() -> None:
            server = drawn.choice((self._master, self._proxy))
            with socket.create_connection(("127.0.0.1", server.port), 30) as one:
                one.sendall(request("AUTH", "default", PASSWORD) + request("SUBSCRIBE", "cfg"))
                one.recv(64)
                if drawn.random() < 0.5:  # gone in the middle of a page
                    one.sendall(request("UNSUBSCRIBE") + request("CFG.READ", "CfgPerson"))
                    one.recv(4096)
            self.counted["connections"] += 1

        return come_and_go


def _look(servers: dict[str, Server], seconds: float, work: Work) -> dict[str, list[float]]:
    """MiB of each process and each store, again and again."""
    found: dict[str, list[float]] = {}
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and not work.faults:
        time.sleep(LOOK_SECONDS)
        for name, server in servers.items():
            for role, process in server.children().items():
                private = process.memory_full_info().uss / 2**20
                found.setdefault(f"{name}, {role}", []).append(private)
            found.setdefault(f"{name}, store", []).append(_status(server, "bytes") / 2**20)
    return found


def _row(name: str, values: list[float]) -> Row:
    part = max(1, len(values) // PART)
    first, last = median(values[:part]), median(values[-part:])
    return Row(f"{name}: last looks", f"first ({first:.1f} MiB)", [last / first], GROWTH_AT_MOST)


def _status(server: Server, name: str) -> int:
    with server.client(protocol=3, decode_responses=True) as client:
        return int(client.execute_command("CFG.STATUS")[name])


def _is_trimmed(server: Server) -> bool:
    """Whether its log has let go of the first changes."""
    told = server.cli("store", "stat", "--json")
    assert told.returncode == 0, told.stderr
    return int(json.loads(told.stdout)["oldest"]) > FIRST_CHANGES
