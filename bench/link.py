"""Counts the bytes that travel from a master to its proxy: a load, and changes of one attribute."""

from __future__ import annotations

import json
import random
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
import orjson

from bench.cpu import cpu_seconds
from bench.filled import LOAD_SECONDS_MAX, filled_master
from bench.report import Row, conclude
from csp.model.types import FIRST_DBID
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import Master, Proxy

LOAD_AT_MOST = 0.4
CHANGES_AT_MOST = 0.6
SYNC_MS = 60_000
SEED = 1


@click.command()
@click.option("--objects", default=100_000, show_default=True, help="Objects of the master.")
@click.option("--object-bytes", default=600, show_default=True, help="Their mean size as JSON.")
@click.option("--changes", default=1_000, show_default=True, help="Changes of one attribute each.")
@click.option("--rounds", default=3, show_default=True, help="Loads, and batches of changes.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def link(objects: int, object_bytes: int, changes: int, rounds: int, keep: bool) -> None:
    """Bytes on the link to a proxy against the JSON of what travels, packed and as it is."""
    rows: list[Row] = []
    notes: dict[str, object] = {"objects": objects, "object_bytes": object_bytes}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master, _ = filled_master(stack, folder, objects, object_bytes)
        with Proxy(folder, master):
            pass  # makes the Application, whose option is set below
        for packs in (True, False):
            rows += _with_link(folder, master, objects, changes, rounds, packs, notes)
    sys.exit(conclude("link", rows, notes, keep=keep))


def _with_link(
    folder: Path,
    master: Master,
    objects: int,
    changes: int,
    rounds: int,
    packs: bool,
    notes: dict[str, object],
) -> list[Row]:
    how = "packed" if packs else "as it is"
    json_bytes = _json_bytes(master, objects)
    drawn = random.Random(f"{SEED} {how}")
    loads, batches, cpu_us = [], [], []
    for _ in range(rounds):
        forwarder = CuttingLink(master.port)
        proxy = Proxy(folder, forwarder.port)
        _set_packing(master, proxy.app, packs)
        before = _worker_cpu(master)
        proxy.start(ready=False)
        proxy.wait_ready(LOAD_SECONDS_MAX)
        cpu_us.append((_worker_cpu(master) - before) / objects * 1e6)
        loads.append(forwarder.received_bytes / json_bytes)
        batches.append(_changes(master, proxy, forwarder, objects, changes, drawn))
        proxy.stop()
        proxy.forget()
        forwarder.close()
    notes[f"load, {how}: CPU of the master's worker, us an object"] = cpu_us
    limits = (LOAD_AT_MOST, CHANGES_AT_MOST) if packs else (None, None)
    return [
        Row(f"load, {how}: bytes on the link", "JSON", loads, limits[0]),
        Row(f"a change of one attribute, {how}: bytes", "JSON of the object", batches, limits[1]),
    ]


def _worker_cpu(master: Master) -> float:
    roles = master.children()
    return cpu_seconds([roles[name] for name in roles if name.startswith("worker")])


def _set_packing(master: Master, app: str, packs: bool) -> None:
    key = f"CfgApplication/name={app}"
    done = master.cli("option", key, "csp", "link-compression", str(packs).lower())
    assert done.returncode == 0, done.stderr


def _json_bytes(master: Master, objects: int) -> int:
    """The size of all persons as JSON, by a sample of them."""
    with master.client() as client:
        sample = [
            client.strlen(f"CfgPerson:{FIRST_DBID + number}")
            for number in range(0, objects, max(1, objects // 1000))
        ]
    return sum(sample) * objects // len(sample)


def _changes(
    master: Master,
    proxy: Proxy,
    forwarder: CuttingLink,
    objects: int,
    changes: int,
    drawn: random.Random,
) -> float:
    """Each of another object, drawn, in a transaction of its own; bytes against their JSON."""
    with master.client() as client, proxy.client() as near:
        _level(client, near)
        before = forwarder.received_bytes
        size = 0
        for _ in range(changes):
            dbid = FIRST_DBID + drawn.randrange(objects)
            delta = json.dumps({"changed": {"firstName": f"Name {drawn.randrange(10**9)}"}})
            client.execute_command("CFG.UPDATE", "CfgPerson", dbid, delta)
            size += len(orjson.dumps(orjson.loads(client.get(f"CfgPerson:{dbid}"))))
        _level(client, near)
        return (forwarder.received_bytes - before) / size


def _level(client: object, near: object) -> None:
    revision = client.execute_command("CFG.SYNC")  # type: ignore[attr-defined]
    near.execute_command("CFG.SYNC", revision, "TIMEOUT", SYNC_MS)  # type: ignore[attr-defined]
