"""Measures a proxy's snapshot: what writing it costs beside the service, and a start from it.

The master is stopped before the starts: what serves then is the file alone.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
import psutil

from bench.clients import Client
from bench.cpu import cpu_seconds
from bench.filled import LOAD_SECONDS_MAX, filled_master
from bench.get import csp_peer
from bench.report import Row, conclude
from bench.turns import METRIC
from csp._fastpath import Control
from csp.model.types import FIRST_DBID
from csp.snapshot.file import NAME, SnapshotFile
from csp.store import segment
from tests.neighbours.server import Master, Proxy
from tests.neighbours.waiting import wait_until

MEAN_BYTES = 550
SHARE_MAX = 0.10
START_SECONDS_MAX = 5.0
STOP_SECONDS_MAX = 30.0
TURN_MS_MORE = 1.0  # of GET's longest turn, beside a snapshot against without: what is called equal
WRITE_SECONDS_MAX = 600.0
LOOK_SECONDS = 0.02
INTERVAL = {"snapshot-interval": "5"}  # so that one can be waited for
LOADED = re.compile(r"started from the snapshot: .* in (\d+) ms")
KEY = f"CfgPerson:{FIRST_DBID}"


@click.command()
@click.option("--objects", default=1_000_000, show_default=True, help="Objects of the proxy.")
@click.option("--rounds", default=3, show_default=True, help="Snapshots, and starts.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def snapshot(objects: int, rounds: int, keep: bool) -> None:
    """A snapshot's share of a core, GET's longest turn beside it, and a start from it."""
    notes: dict[str, object] = {"objects": objects}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master, _ = filled_master(stack, folder / "master", objects, MEAN_BYTES)
        proxy = Proxy(folder, master, workers=1)
        stack.callback(proxy.stop)
        proxy.start(ready=False)
        proxy.wait_ready(LOAD_SECONDS_MAX)
        _write_often(master, proxy)
        rows = _written(master, proxy, rounds, notes)
        rows += _started(master, proxy, rounds, notes)
    click.echo(f"files, seconds, milliseconds: {notes}")
    sys.exit(conclude("snapshot", rows, notes, keep=keep))


def _write_often(master: Master, proxy: Proxy) -> None:
    """Sets the interval, which holds from the next start on, and starts from the snapshot."""
    for name, value in INTERVAL.items():
        done = master.cli("option", f"CfgApplication/name={proxy.app}", "csp", name, value)
        assert done.returncode == 0, done.stderr
    revision = _revision(master)
    with proxy.client() as client:
        client.execute_command("CFG.SYNC", revision)
    proxy.stop()
    proxy.start(ready=False)
    proxy.wait_ready(LOAD_SECONDS_MAX)


def _written(master: Master, proxy: Proxy, rounds: int, notes: dict[str, object]) -> list[Row]:
    """Snapshots beside one client that gets one object after the other."""
    shares, beside, without, took = [], [], [], []
    peer = csp_peer("csp", proxy)
    with Client("prober", peer.port, peer.user, peer.password, KEY) as prober:
        for number in range(rounds):
            without.append(_longest_ms(proxy, prober, 5.0))
            revision = _change(master, number)
            _reset(proxy)
            prober.ask("begin")
            used, seconds = _one_that_writes(proxy, revision)
            prober.ask("look")
            beside.append(_turn_ms(proxy))
            shares.append(used / seconds)
            took.append(seconds)
    notes["write_seconds"] = took
    notes["file_bytes"] = _file_of(proxy).stat().st_size
    more = max(beside) - max(without)
    return [
        Row("snapshot beside the service", "a core", shares, SHARE_MAX),
        Row("GET's longest turn, beside it, ms more", "without", [more], TURN_MS_MORE),
        Row("GET's longest turn without", "ms", without, None),
        Row("GET's longest turn beside it", "ms", beside, None),
    ]


def _started(master: Master, proxy: Proxy, rounds: int, notes: dict[str, object]) -> list[Row]:
    """The master is away; a stop and a start each."""
    stops, starts = [], []
    master.stop()
    for _ in range(rounds):
        began = time.monotonic()
        proxy.stop()
        stops.append(time.monotonic() - began)
        began = time.monotonic()
        proxy.start(ready=False)
        wait_until(proxy.answers, LOAD_SECONDS_MAX, "the first read")
        starts.append(time.monotonic() - began)
        if "51362" not in proxy.log_text():
            raise AssertionError("the proxy did not start from its snapshot")
    master.start(ready=False)  # for the end, which stops it
    master.wait_ready(LOAD_SECONDS_MAX)
    notes["stop_seconds"] = stops
    notes["load_ms"] = [int(ms) for ms in LOADED.findall(proxy.log_text())][-rounds:]
    return [
        Row("stop with a snapshot", "seconds", stops, STOP_SECONDS_MAX),
        Row("start from it to the first read", "seconds", starts, START_SECONDS_MAX),
    ]


def _writer_of(proxy: Proxy) -> psutil.Process | None:
    return proxy.children().get("snapshot")


def _one_that_writes(proxy: Proxy, revision: int) -> tuple[float, float]:
    """CPU and seconds of the process that brings the file to the revision.

    One that began before finds nothing to do, and ends at once.
    """
    while True:
        process = wait_until(lambda: _writer_of(proxy), WRITE_SECONDS_MAX, "a snapshot begins")
        began = time.monotonic()
        used = _cpu_to_its_end(process)
        if _in_file(proxy) >= revision:
            return used, time.monotonic() - began


def _cpu_to_its_end(process: psutil.Process) -> float:
    """CPU seconds that it took, as seen shortly before its end."""
    used = 0.0
    while True:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return used
            used = cpu_seconds([process])
        except (psutil.NoSuchProcess, FileNotFoundError):
            return used
        time.sleep(LOOK_SECONDS)


def _change(master: Master, number: int) -> int:
    with master.client() as client:
        delta = f'{{"changed":{{"firstName":"s{number}"}}}}'
        client.execute_command("CFG.UPDATE", "CfgPerson", FIRST_DBID, delta)
    return _revision(master)


def _revision(master: Master) -> int:
    with master.client() as client:
        return int(client.execute_command("CFG.SYNC"))


def _file_of(proxy: Proxy) -> Path:
    (found,) = proxy.state.glob(f"*/{NAME}")
    return found


def _in_file(proxy: Proxy) -> int:
    with SnapshotFile(_file_of(proxy)) as file:
        return file.info.end.revision


def _longest_ms(proxy: Proxy, prober: Client, seconds: float) -> float:
    """GET's longest turn over some time without a snapshot."""
    _reset(proxy)
    prober.ask("begin")
    time.sleep(seconds)
    prober.ask("look")
    return _turn_ms(proxy)


def _reset(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.config_resetstat()


def _turn_ms(proxy: Proxy) -> float:
    """The only worker's longest turn since _reset."""
    with proxy.client() as client:
        instance = str(client.execute_command("CFG.STATUS")["instance"])
    return Control(segment.open_control(instance)).slot_counters(0)[METRIC] / 1000
