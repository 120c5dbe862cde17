"""Measures what an idle connection by TLS takes of the worker that has it.

Each has signed in and read one object; then all are idle for longer than a connection keeps its
buffers (a second or so, which csp's tick looks after).
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

from bench.load import Peer
from bench.memory import allow_files, private_bytes
from bench.report import Row
from bench.tls_stage import TlsStage
from csp.resp import MORE, Decoder, request
from tests.neighbours.server import PASSWORD

KIB_AT_MOST = 16.0
IDLE_SECONDS = 5.0
FIRST = 400  # that come and stay before the memory is looked at: what comes once is there then
REPLY_SECONDS_MAX = 30


def idle_memory(on: TlsStage, count: int, notes: dict[str, Any]) -> list[Row]:
    """KiB of private memory for each of so many connections."""
    allow_files(2 * (FIRST + count) + 1_000)
    grown = {peer.name: _grown(on, peer, count) for peer in (on.whole, on.redis)}
    notes["idle TLS connection, KiB"] = {"connections": count, **grown}
    own, other = grown.values()
    return [
        Row("idle TLS connection", "KiB", [own], KIB_AT_MOST),
        Row("idle TLS connection", on.redis.name, [own / other], None),
    ]


def _grown(on: TlsStage, peer: Peer, count: int) -> float:
    """KiB a connection that the process which has them has grown by."""
    process = on.on.worker if peer.name == on.whole.name else peer.processes[0]
    opened = [_idle(on, peer) for _ in range(FIRST)]
    time.sleep(IDLE_SECONDS)
    before = private_bytes(process)
    opened += [_idle(on, peer) for _ in range(count)]
    time.sleep(IDLE_SECONDS)
    after = private_bytes(process)
    for one in opened:
        one.close()
    return (after - before) / count / 1024


def _idle(on: TlsStage, peer: Peer) -> socket.socket:
    """A connection that has read one object."""
    context = ssl.create_default_context(cafile=str(on.authority.root))
    plain = socket.create_connection(("127.0.0.1", peer.port), REPLY_SECONDS_MAX)
    opened = context.wrap_socket(plain, server_hostname="localhost")
    commands: list[tuple[str, ...]] = [("GET", f"CfgPerson:{on.on.held.first:08}")]
    if peer.user != "-":
        commands.insert(0, ("AUTH", peer.user, PASSWORD))
    opened.sendall(b"".join(request(*one) for one in commands))
    decoder, left = Decoder(), len(commands)
    while left:
        value = decoder.next()
        if value is MORE:
            decoder.feed(opened.recv(1 << 16))
            continue
        assert not isinstance(value, Exception), value
        left -= 1
    return opened
