"""Measures how a proxy loads, catches up and attaches, from a real master with many objects."""

from __future__ import annotations

import json
import re
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
import psutil

from bench.cpu import cpu_seconds
from bench.filled import LOAD_SECONDS_MAX, filled_master
from bench.report import Row, conclude
from csp.model.types import FIRST_DBID
from tests.neighbours.server import Proxy, Server
from tests.neighbours.waiting import wait_until

OBJECTS_A_SECOND = 100_000
CHANGES_A_SECOND = 20_000
ATTACH_SECONDS_MAX = 1.0
LOADED = re.compile(r"loaded: revision \d+, (\d+) bytes in (\d+) ms")


@click.command()
@click.option("--objects", default=1_000_000, show_default=True, help="Objects of the master.")
@click.option("--changes", default=20_000, show_default=True, help="Changes to catch up with.")
@click.option("--rounds", default=3, show_default=True, help="Loads and attaches, each.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def load(objects: int, changes: int, rounds: int, keep: bool) -> None:
    """Load from a feed, changes applied, and attaching to what survived a crash."""
    rows: list[Row] = []
    notes: dict[str, object] = {"objects": objects, "changes": changes}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master, seconds = filled_master(stack, folder, objects, 550)
        notes["master_load_seconds"] = seconds
        proxy = Proxy(folder, master, workers=1)
        stack.callback(proxy.stop)
        rows.append(_loads(proxy, objects, rounds, notes))
        rows.append(_attaches(proxy, rounds))
        rows.append(_catch_up(master, proxy, changes, notes))
    sys.exit(conclude("load", rows, notes, keep=keep))


def _loads(proxy: Server, objects: int, rounds: int, notes: dict[str, object]) -> Row:
    """From the greeting to the publication, as the proxy's own log tells it."""
    took = []
    for number in range(rounds):
        proxy.start(ready=False)
        proxy.wait_ready(LOAD_SECONDS_MAX)
        took.append(int(LOADED.findall(proxy.log_text())[-1][1]) / 1000)
        if number < rounds - 1:
            proxy.stop()
            proxy.forget()
    notes["load_seconds"] = took
    # As a ratio that must not exceed 1: the seconds taken against the seconds allowed.
    ratios = [seconds * OBJECTS_A_SECOND / objects for seconds in took]
    return Row("load of a proxy", f"{OBJECTS_A_SECOND} objects a second", ratios, 1.0)


def _attaches(proxy: Server, rounds: int) -> Row:
    """All processes die; from the next start's first instruction to its first reply."""
    took = []
    generation = _generation(proxy)
    for _ in range(rounds):
        _kill(proxy)
        began = time.monotonic()
        proxy.start(ready=False)
        wait_until(proxy.answers, LOAD_SECONDS_MAX, "the first read")
        took.append(time.monotonic() - began)
        if _generation(proxy) != generation:
            raise AssertionError("the restarted proxy loaded anew instead of attaching")
    return Row("attach to first read", "seconds", took, ATTACH_SECONDS_MAX)


def _kill(proxy: Server) -> None:
    """All processes die; the segments stay."""
    assert proxy.process is not None
    children = list(proxy.children().values())
    proxy.process.send_signal(signal.SIGKILL)
    proxy.process.wait(30)
    psutil.wait_procs(children, timeout=30)


def _generation(server: Server) -> int:
    with server.client() as client:
        return int(client.execute_command("CFG.STATUS")["generation"])


def _change(master: Server, changes: int) -> int:
    """Updates so many objects, each in a transaction of its own; the last revision."""
    with master.client() as client:
        pipe = client.pipeline(transaction=False)
        for number in range(changes):
            delta = json.dumps({"changed": {"firstName": f"c{number}"}})
            pipe.execute_command("CFG.UPDATE", "CfgPerson", FIRST_DBID + number, delta)
            if len(pipe) == 500:
                pipe.execute()
        pipe.execute()
        return int(client.execute_command("CFG.SYNC"))


def _catch_up(master: Server, proxy: Server, changes: int, notes: dict[str, object]) -> Row:
    """The proxy is away while the master changes one object after the other, then attaches again.

    Counted is what follows the first look at its revision that finds changes: its recovery comes
    before, and is work of its own. So few changes that this look finds all of them are counted
    with the recovery.
    """
    _kill(proxy)
    revision = _change(master, changes)
    feeding = [child for role, child in master.children().items() if role.startswith("worker")]
    proxy.start(ready=False)
    wait_until(proxy.answers, LOAD_SECONDS_MAX, "the first read")
    writer = proxy.child("writer")
    with proxy.client() as client:
        start = time.monotonic(), cpu_seconds([writer]), cpu_seconds(feeding), changes
        client.execute_command("CFG.SYNC", revision - changes + 1, "TIMEOUT", 600_000)
        look = time.monotonic(), cpu_seconds([writer]), cpu_seconds(feeding)
        left = revision - int(client.execute_command("CFG.STATUS")["revision"])
        client.execute_command("CFG.SYNC", revision, "TIMEOUT", 600_000)
    began, cpu, feeding_cpu, counted = (*look, left) if left > 0 else start
    took = time.monotonic() - began
    notes["changes_counted"] = counted
    notes["catch_up_seconds"] = took
    notes["catch_up_cpu_us_a_change"] = (cpu_seconds([writer]) - cpu) / counted * 1e6
    notes["catch_up_master_cpu_us_a_change"] = (cpu_seconds(feeding) - feeding_cpu) / counted * 1e6
    return Row(
        "changes applied", f"{CHANGES_A_SECOND} a second", [took * CHANGES_A_SECOND / counted], 1.0
    )
