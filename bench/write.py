"""Measures writes: a master in turn with etcd on the same disk, both durable, and by itself.

Every write changes one object of some 600 bytes, or puts one value of that size. Rounds go in
turn, so that both see the same disk and the same machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import psutil
import psycopg

from bench.cpu import cpu_seconds
from bench.exchange import Result, exchange
from bench.fill import Filled, fill
from bench.report import Row, conclude
from bench.through import through_a_proxy
from bench.wires import CspWire, EtcdWire
from tests.neighbours.ports import free_port
from tests.neighbours.postgres import Postgres
from tests.neighbours.server import PASSWORD, Master, run_cli
from tests.neighbours.waiting import wait_until

WRITERS = 50
IN_FLIGHT = 20
OBJECT_BYTES = 600
VALUE_BYTES = 400  # of the option that changes; the rest of the object stays
ALONE_US = 720.0  # processor time of a write when each was a transaction of its own
BESIDE_WRITERS = 10  # that write while an import runs
BESIDE_AGENTS = 3_000

# What a row may not exceed: etcd's figure over csp's, or csp's over what it is held against.
MANY_MOST = 1 / 0.7
ONE_MOST = 1 / 0.8
CPU_MOST = 0.5
IN_FLIGHT_MOST = 1 / 3
BARE_MOST = 3.0
BESIDE_MOST = 5.0


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="Of one run.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
@click.option(
    "--only",
    type=click.Choice(["etcd", "postgresql", "import", "proxy"]),
    help="These rows alone.",
)
def write(rounds: int, seconds: float, keep: bool, only: str | None) -> None:
    """Writes a second against etcd, in flight, on PostgreSQL, beside an import, by a proxy."""
    notes: dict[str, Any] = {}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="csp-bench-", dir=Path(__file__).parent) as name:
        folder = Path(name)  # on a disk: /tmp may be memory
        if only in (None, "etcd"):
            rows += against_etcd(folder, rounds, seconds, notes)
        if only in (None, "postgresql"):
            rows.append(on_postgresql(folder, rounds, seconds, notes))
        if only in (None, "import"):
            rows.append(beside_import(folder, max(2, rounds // 2), seconds, notes))
        if only in (None, "proxy"):
            rows += by_proxy(folder, rounds, seconds, notes)
    for key, value in notes.items():
        click.echo(f"{key}: {value}")
    sys.exit(conclude("write", rows, notes, keep=keep))


class Csp:
    """A master with objects to change."""

    def __init__(self, master: Master, held: Filled) -> None:
        self.master = master
        self.held = held

    def run(self, writers: int, in_flight: int, seconds: float) -> tuple[Result, float]:
        """One run: what was seen, and processor time a write in microseconds."""
        wires = [self.wire(number) for number in range(writers)]
        # Of those that write; a sign-in is not what is measured.
        children = self.master.children()
        processes = [one for role, one in children.items() if role != "auth"]
        before = cpu_seconds(processes)
        result = exchange(self.master.port, wires, in_flight=in_flight, until=after(seconds))
        return result, (cpu_seconds(processes) - before) / result.count * 1e6

    def wire(self, number: int) -> CspWire:
        held = self.held
        return CspWire(held.class_name, held.first + number, VALUE_BYTES, PASSWORD)


def after(seconds: float) -> Any:
    """Ends a run so long after its first reply."""
    ends: list[float] = []

    def is_over(_count: int) -> bool:
        now = time.monotonic()
        if not ends:
            ends.append(now + seconds)
        return now > ends[0]

    return is_over


@contextmanager
def csp(folder: Path, url: str = "") -> Iterator[Csp]:
    """A master on SQLite, or on what the address names."""
    folder.mkdir()
    with Master(folder, url=url).start() as master:
        yield Csp(master, fill(master, "CfgPerson", max(WRITERS, 100), OBJECT_BYTES))


@contextmanager
def etcd(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """One member that writes to this folder, as it comes: every commit is on the disk."""
    port, peer = free_port(), free_port()
    command = ["etcd", "--data-dir", str(folder / "etcd"), "--log-level", "error",
               "--listen-client-urls", f"http://127.0.0.1:{port}",
               "--advertise-client-urls", f"http://127.0.0.1:{port}",
               "--listen-peer-urls", f"http://127.0.0.1:{peer}"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            running = psutil.Process(process.pid)
            wait_until(lambda: _serves(port), 20, "etcd serves")
            yield port, running
        finally:
            process.terminate()


def _serves(port: int) -> bool:
    try:
        wire = EtcdWire("bench", 8)
        return exchange(port, [wire], in_flight=1, until=lambda count: count >= 1).count == 1
    except OSError:
        return False


def against_etcd(folder: Path, rounds: int, seconds: float, notes: dict[str, Any]) -> list[Row]:
    many: list[float] = []
    one: list[float] = []
    cpu: list[float] = []
    flight: list[float] = []
    with csp(folder / "csp") as server, etcd(folder) as (port, process):

        def put(writers: int) -> tuple[Result, float]:
            wires = [EtcdWire(f"CfgPerson:{at}", OBJECT_BYTES) for at in range(writers)]
            before = cpu_seconds([process])
            result = exchange(port, wires, in_flight=1, until=after(seconds))
            return result, (cpu_seconds([process]) - before) / result.count * 1e6

        server.run(WRITERS, 1, 1.0)
        put(WRITERS)
        for _ in range(rounds):
            (ours, ours_us), (theirs, theirs_us) = server.run(WRITERS, 1, seconds), put(WRITERS)
            many.append(theirs.a_second / ours.a_second)
            cpu.append(ours_us / ALONE_US)
            note(notes, f"{WRITERS} writers", csp=ours.a_second, csp_us=ours_us,
                 csp_p99_ms=ours.percentile_ms(0.99), etcd=theirs.a_second, etcd_us=theirs_us,
                 etcd_p99_ms=theirs.percentile_ms(0.99))  # fmt: skip
            (ours, ours_us), (theirs, _) = server.run(1, 1, seconds), put(1)
            one.append(theirs.a_second / ours.a_second)
            pipelined, pipelined_us = server.run(1, IN_FLIGHT, seconds)
            flight.append(ours.a_second / pipelined.a_second)
            note(notes, "1 writer", csp=ours.a_second, csp_us=ours_us, etcd=theirs.a_second)
            note(notes, f"{IN_FLIGHT} in flight", csp=pipelined.a_second, csp_us=pipelined_us)
    return [
        Row(f"{WRITERS} writers, time a write", "etcd", many, MANY_MOST),
        Row(f"{WRITERS} writers, processor time", f"{ALONE_US:.0f} us", cpu, CPU_MOST),
        Row("1 writer, time a write", "etcd", one, ONE_MOST),
        Row(f"{IN_FLIGHT} in flight, time a write", "one by one", flight, IN_FLIGHT_MOST),
    ]


def on_postgresql(folder: Path, rounds: int, seconds: float, notes: dict[str, Any]) -> Row:
    """One writer's write against the same bytes by psycopg: an UPDATE, an INSERT, a commit."""
    ratios = []
    with ExitStack() as stack:
        server = stack.enter_context(Postgres(fsync=True))
        ours = stack.enter_context(csp(folder / "postgresql", server.new_url()))
        bare = stack.enter_context(psycopg.connect(server.new_url().replace("+psycopg", "")))
        bare.execute("CREATE TABLE objects (id integer PRIMARY KEY, body text)")
        bare.execute("CREATE TABLE history (id serial PRIMARY KEY, body text, entry bytea)")
        bare.execute("INSERT INTO objects SELECT n, '' FROM generate_series(1, 100) AS n")
        bare.commit()
        ours.run(1, 1, 1.0)
        for _ in range(rounds):
            (alone, _), (many, _) = ours.run(1, 1, seconds), ours.run(WRITERS, 1, seconds)
            plain = bare_a_second(bare, seconds)
            ratios.append(plain / alone.a_second)
            note(notes, "PostgreSQL", one=alone.a_second, bare=plain,
                 **{f"with_{WRITERS}": many.a_second})  # fmt: skip
    return Row("1 writer on PostgreSQL, time a write", "psycopg", ratios, BARE_MOST)


def bare_a_second(connection: psycopg.Connection[Any], seconds: float) -> float:
    """Transactions a second of what a write of ours stores."""
    body, entry = "x" * OBJECT_BYTES, b"x" * (OBJECT_BYTES * 3)  # the entry has image and event too
    began, count = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        count += 1
        connection.execute("UPDATE objects SET body = %s WHERE id = %s", (body, count % 100 + 1))
        connection.execute("INSERT INTO history (body, entry) VALUES (%s, %s)", (body, entry))
        connection.commit()
    return count / (time.monotonic() - began)


def beside_import(folder: Path, rounds: int, seconds: float, notes: dict[str, Any]) -> Row:
    """The slowest hundredth of others' writes while an import runs."""
    estate = folder / "estate.json"
    run_cli("estate", "--agents", str(BESIDE_AGENTS), "--seed", "1", "-o", str(estate))
    ratios = []
    for number in range(rounds):
        with csp(folder / f"import-{number}") as server:
            alone, _ = server.run(BESIDE_WRITERS, 1, seconds)
            done: list[Any] = []

            def run_import(server: Csp = server, done: list[Any] = done) -> None:
                done.append(server.master.cli("import", str(estate), within=600))

            importing = threading.Thread(target=run_import)
            importing.start()
            wires = [server.wire(at) for at in range(BESIDE_WRITERS)]
            wait_until(lambda server=server: _has_begun(server), 60, "the import to write")
            port = server.master.port
            beside = exchange(port, wires, in_flight=1, until=lambda _, done=done: bool(done))
            importing.join()
            assert done[0].returncode == 0, done[0].stderr[-1000:]
        ratios.append(beside.percentile_ms(0.99) / alone.percentile_ms(0.99))
        note(notes, "beside an import", alone_p99_ms=alone.percentile_ms(0.99),
             p99_ms=beside.percentile_ms(0.99), longest_ms=max(beside.latencies_ms))  # fmt: skip
    return Row("p99 of others beside an import", "alone", ratios, BESIDE_MOST)


def by_proxy(folder: Path, rounds: int, seconds: float, notes: dict[str, Any]) -> list[Row]:
    """The same writes through a writable proxy of that master."""
    with csp(folder / "above") as server:
        return through_a_proxy(
            *(folder, server.master, server.wire),
            writers=WRITERS,
            rounds=rounds,
            until=lambda: after(seconds),
            note=lambda name, **figures: note(notes, f"proxy, {name}", **figures),
        )


def _has_begun(server: Csp) -> bool:
    with server.master.client() as client:
        return int(client.dbsize()) > 1_000


def note(notes: dict[str, Any], name: str, **figures: float) -> None:
    """Keeps the figures of a round."""
    for key, value in figures.items():
        notes.setdefault(f"{name}: {key}", []).append(round(value, 2))
