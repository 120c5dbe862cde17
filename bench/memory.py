"""Measures memory: what an object costs in the store, an idle worker, an idle connection."""

from __future__ import annotations

import resource
import socket
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from struct import pack, pack_into

import click
import psutil

from bench.made import images
from bench.report import Row, conclude
from csp._fastpath import crc32c
from csp.model.image import HEADER_SIZE, parse_header
from csp.resp import Decoder, request
from tests.neighbours.memory_store import MemoryStore
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until

# Of a record image, docs/internals/formats.md: what the checksum covers begins at the first.
COVERED_AT, SIZE_AT, BRIEF_SIZE_AT = 16, 32, 52
EMPTY_FRAME = b"$0\r\n\r\n"
OVERHEAD_BYTES_MAX = 160
WORKER_BYTES_MAX = 8 << 20
CONNECTION_BYTES_MAX = 512


@click.command()
@click.option("--objects", default=200_000, show_default=True, help="Objects in the store.")
@click.option("--connections", default=10_000, show_default=True, help="Idle connections.")
@click.option("--bytes", "mean_bytes", default=550, show_default=True, help="Mean size of objects.")
@click.option("--keep", is_flag=True, help="Write the figures to bench/results.")
def memory(objects: int, connections: int, mean_bytes: int, keep: bool) -> None:
    """Bytes an object beyond its JSON, of an idle worker, and a connection."""
    notes: dict[str, object] = {"objects": objects, "connections": connections}
    rows = _store(objects, mean_bytes, notes)
    rows += _workers(connections, notes)
    sys.exit(conclude("memory", rows, notes, keep=keep))


# ------------------------------------------------------------------ the store


def _store(objects: int, mean_bytes: int, notes: dict[str, object]) -> list[Row]:
    whole, bare = list(images(objects, mean_bytes)), []
    json_bytes = brief_bytes = key_bytes = 0
    for image in whole:
        header = parse_header(image)
        json_bytes += header.reply_size - len(f"${header.reply_size}\r\n\r\n")
        brief_bytes += header.brief_size
        key_bytes += header.keys_size
        bare.append(_without_brief_and_keys(image))
    empty = _block_bytes([])
    without, full = _block_bytes(bare) - empty, _block_bytes(whole) - empty
    indexes = full - without - brief_bytes - key_bytes
    notes |= {"json_bytes": json_bytes / objects}
    overhead = (without - json_bytes) / objects
    return [
        Row("store overhead an object", "bytes", [overhead], OVERHEAD_BYTES_MAX),
        Row("beside it: brief form", "bytes", [brief_bytes / objects], None),
        Row("beside it: index keys", "bytes", [key_bytes / objects], None),
        Row("beside it: names and lists", "bytes", [indexes / objects], None),
    ]


def _without_brief_and_keys(image: bytes) -> bytes:
    """The same record with its JSON alone; the store wants a brief form, if an empty one."""
    reply_size = parse_header(image).reply_size
    size = (HEADER_SIZE + reply_size + len(EMPTY_FRAME) + 7) & ~7
    header = bytearray(image[:HEADER_SIZE])
    pack_into("<I", header, SIZE_AT, size)
    pack_into("<II", header, BRIEF_SIZE_AT, len(EMPTY_FRAME), 0)  # and keys_size
    body = bytes(header[COVERED_AT:]) + image[HEADER_SIZE : HEADER_SIZE + reply_size] + EMPTY_FRAME
    body = body.ljust(size - COVERED_AT, b"\0")
    return pack("<QII", 0, crc32c(body), 0) + body


def _block_bytes(records: list[bytes]) -> int:
    """What the arena gives to a store of these records: blocks as rounded, indexes with them."""
    with closing(MemoryStore(max(256 << 20, 4 * sum(map(len, records))))) as store:
        for at in range(0, len(records), 1000):
            store.writer.load(b"".join(records[at : at + 1000]))
        store.publish()
        return store.writer.stat()["block_bytes"]


# ------------------------------------------------------------------ workers and connections


def _workers(connections: int, notes: dict[str, object]) -> list[Row]:
    allow_files(2 * connections + 1_000)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        server = stack.enter_context(Master(folder, workers=1))
        worker = server.child("worker 0")
        idle = private_bytes(worker)
        opened = [_signed_in(server.port) for _ in range(connections)]
        with server.client() as client:
            wait_until(lambda: _connections(client) >= connections, 60, "all are connected")
        grown = private_bytes(worker) - idle
        for one in opened:
            one.close()
    notes |= {"worker_private_bytes": idle, "connections_grown_bytes": grown}
    return [
        Row("private memory of an idle worker", "bytes", [idle], WORKER_BYTES_MAX),
        Row("idle connection", "bytes", [grown / connections], CONNECTION_BYTES_MAX),
    ]


def private_bytes(process: psutil.Process) -> int:
    """Pages that no other process has: Private_Clean and Private_Dirty of smaps_rollup.

    Of one worker alone they hold the rows of its connections in the session table, too.
    """
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def allow_files(wanted: int) -> None:
    """Lets this process open so many files, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, wanted), hard), hard))


def _signed_in(port: int) -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port), timeout=30)
    opened.sendall(request("AUTH", "default", PASSWORD))
    decoder = Decoder()
    decoder.feed(opened.recv(64))
    assert decoder.next() == "OK"
    return opened


def _connections(client: object) -> int:
    return int(client.info("clients")["connected_clients"])  # type: ignore[attr-defined]
