"""Lets a master and its proxy work for long, and tells whether their memory stays as it is.

200 changes a second, reads, and clients that come and go, some in the middle of a page; the store
is so small that the change log is full and trimmed soon.  From then on memory is looked at every
few seconds: what the last looks have more than the first ones is growth.

1. What a process has for itself is all of its pages that no other has, but those of the store: to
   which process a page of the store is charged depends on who has read there, and it is there once.
   So are pages of the supervisor that a child came with: one counts when either has written to it.
2. Shared memory is what the kernel has given to the server's files of it; and what the store says.
3. A process that lives for one snapshot is told and not judged: it is as large as its work was when
   it was looked at.  Any other one has to be the same from the first look to the last.
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
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median

import click
import psutil

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
TOLD_SECONDS = 60.0
PART = 5  # the first and the last fifth of the looks are compared
LOG_FULL_SECONDS_MAX = 900.0
FIRST_CHANGES = 2  # revisions: what made the configuration
SEED = 1
SHARED_FOLDER = "/dev/shm/"
BLOCK_BYTES = 512  # of st_blocks
SHORT_LIVED = frozenset({"snapshot"})

Looks = dict[tuple[str, str], list[float]]  # MiB by server and what of it


@click.command()
@click.option("--minutes", default=60.0, show_default=True, help="Of looks.")
@click.option("--warm", default=5.0, show_default=True, help="Minutes from the full log to them.")
@click.option("--changes", default=CHANGES_A_SECOND, show_default=True, help="A second.")
@click.option("--reads", default=READS_A_SECOND, show_default=True, help="A second.")
@click.option("--comings", default=COMINGS_A_SECOND, show_default=True, help="A second.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def soak(minutes: float, warm: float, changes: int, reads: int, comings: int, keep: bool) -> None:
    """Memory of all processes under steady work."""
    rates = {"changes": changes, "reads": reads, "comings": comings}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-soak-")))
        extra = ("--reserve", RESERVE)
        master = stack.enter_context(Master(folder, workers=2, extra=extra))
        held = fill(master, "CfgPerson", OBJECTS, OBJECT_BYTES)
        proxy = stack.enter_context(
            Proxy(folder, master, workers=2, extra=("--create-app", *extra))
        )
        servers = {"master": master, "proxy": proxy}
        work = Work(master, proxy, held, rates)
        stack.callback(work.stop)
        work.start()
        click.echo("waiting until both logs are trimmed")
        wait_until(
            lambda: all(_is_trimmed(server) for server in servers.values()),
            LOG_FULL_SECONDS_MAX,
            "the log is full",
        )
        # What has a limit fills: 64 MiB of the database's cache.  Looks are work of their own, the
        # first of which touches some 200 KiB of a worker's pages from the supervisor.
        _look(servers, warm * 60, work)
        looks = _look(servers, minutes * 60, work)
    rows = [_row(*what, values) for what, values in sorted(looks.items())]
    notes: dict[str, object] = {"minutes": minutes, "warm": warm, "rates": rates, **work.counted}
    notes["fifths"] = {", ".join(what): _fifths(values) for what, values in sorted(looks.items())}
    for key, value in notes.items():
        click.echo(f"{key}: {value}")
    for fault in work.faults:
        click.echo(f"FAULT: {fault}", err=True)
    sys.exit(conclude("soak", rows, notes, keep=keep) or bool(work.faults))


class Work:
    """What clients do meanwhile, each kind in a thread of its own."""

    def __init__(self, master: Server, proxy: Server, held: Filled, rates: dict[str, int]) -> None:
        self.faults: list[str] = []
        self.counted = {"changes": 0, "reads": 0, "connections": 0}
        self._master, self._proxy, self._held = master, proxy, held
        self._over = threading.Event()
        works: list[tuple[Callable[[], Callable[[], None]], int]] = [
            (self._changer, rates["changes"]),
            (self._reader, rates["reads"]),
            (self._comer, rates["comings"]),
        ]
        self._threads = [
            threading.Thread(target=self._run, args=(make, rate), daemon=True)
            for make, rate in works
            if rate
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


def _look(servers: dict[str, Server], seconds: float, work: Work) -> Looks:
    """MiB of each process and each store, again and again."""
    found: Looks = {}
    pids: dict[tuple[str, str], set[int]] = {}
    began = told = time.monotonic()
    while (now := time.monotonic()) < began + seconds and not work.faults:
        if now >= told:  # a run that ends early has said something
            told += TOLD_SECONDS
            _tell((now - began) / 60, found)
        time.sleep(LOOK_SECONDS)
        for name, server in servers.items():
            for role, process in _processes(server).items():
                with suppress(psutil.NoSuchProcess):  # a snapshot that is written meanwhile
                    private = _private(process) / 2**20
                    found.setdefault((name, role), []).append(private)
                    pids.setdefault((name, role), set()).add(process.pid)
            found.setdefault((name, "store"), []).append(_status(server, "bytes") / 2**20)
            found.setdefault((name, "shared memory"), []).append(_shared(server) / 2**20)
    work.faults += [
        f"{name}, {role} was another process: {sorted(pids[name, role])}"
        for name, role in found
        if len(pids.get((name, role), ())) > 1 and role not in SHORT_LIVED
    ]
    return found


def _tell(minute: float, looks: Looks) -> None:
    """The looks at hand, in a line."""
    last = {", ".join(what): round(values[-1], 2) for what, values in sorted(looks.items())}
    click.echo(f"minute {minute:.0f}: {json.dumps(last)}")


def _processes(server: Server) -> dict[str, psutil.Process]:
    """Its children by role, and the supervisor."""
    assert server.process is not None
    return server.children() | {"supervisor": psutil.Process(server.process.pid)}


def _private(process: psutil.Process) -> int:
    """Bytes that this process alone has, without the store's."""
    maps = process.memory_maps(grouped=False)
    own = (one for one in maps if not one.path.startswith(SHARED_FOLDER))
    return sum(one.private_clean + one.private_dirty for one in own)


def _shared(server: Server) -> int:
    """Bytes of shared memory that the kernel has given to a server."""
    files = Path(SHARED_FOLDER).glob(f"csp-*-{server.port}-*")
    return sum(file.stat().st_blocks * BLOCK_BYTES for file in files)


def _fifths(values: list[float]) -> list[float]:
    """The course of it: whether it grows on and on or comes to an end."""
    part = max(1, len(values) // PART)
    parts = [values[at : at + part] for at in range(0, len(values), part)]
    return [round(median(one), 3) for one in parts[:PART]]  # a snapshot is seen a few times at most


def _row(name: str, role: str, values: list[float]) -> Row:
    part = max(1, len(values) // PART)
    first, last = median(values[:part]), median(values[-part:])
    at_most = None if role in SHORT_LIVED else GROWTH_AT_MOST  # told only
    return Row(f"{name}, {role}: last looks", f"first ({first:.2f} MiB)", [last / first], at_most)


def _status(server: Server, name: str) -> int:
    with server.client(protocol=3, decode_responses=True) as client:
        return int(client.execute_command("CFG.STATUS")[name])


def _is_trimmed(server: Server) -> bool:
    """Whether its log has let go of the first changes."""
    told = server.cli("store", "stat", "--json")
    assert told.returncode == 0, told.stderr
    return int(json.loads(told.stdout)["oldest"]) > FIRST_CHANGES
