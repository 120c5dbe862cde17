"""Starts what csp is measured against: redis-server, the limit server, the bare sends."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import redis

from bench.load import Peer
from bench.native import program
from tests.neighbours.certificates import Certificate
from tests.neighbours.ports import free_port
from tests.neighbours.waiting import wait_until

BATCH = 1_000
CLIENTS_MAX = 15_000  # a storm has 10,000


@contextmanager
def redis_peer(
    objects: Iterable[tuple[str, bytes]], certificate: Certificate | None = None
) -> Iterator[Peer]:
    """A redis-server without persistence that holds the objects under the same keys.

    With a certificate the peer is its TLS port, of the same server.
    """
    port, secure = free_port(), 0
    command = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"]
    command += ["--maxclients", str(CLIENTS_MAX)]
    if certificate is not None:
        secure = free_port()
        command += ["--tls-port", str(secure), "--tls-auth-clients", "no"]
        command += ["--tls-cert-file", str(certificate.certificate)]
        command += ["--tls-key-file", str(certificate.key)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            client = redis.Redis("127.0.0.1", port)
            wait_until(lambda: _answers(client), 10, "redis-server answers")
            pipeline = client.pipeline(transaction=False)
            for key, value in objects:
                pipeline.set(key, value)
                if len(pipeline) >= BATCH:
                    pipeline.execute()
            pipeline.execute()
            processes = [psutil.Process(process.pid)]
            yield Peer("redis-server", secure or port, processes, tls=bool(secure))
        finally:
            process.terminate()


@contextmanager
def limit_peer(request_bytes: int, reply_bytes: int, objects: int = 0) -> Iterator[Peer]:
    """A server that only receives, sends and waits, for requests and replies of one length.

    With objects it copies each reply from a random one of so many, as any store has to.
    """
    port = free_port()
    command = [program("limit_server"), *map(str, (port, request_bytes, reply_bytes))]
    if objects:
        command.append(str(objects))
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: psutil.Process(process.pid).net_connections(), 10, "it listens")
            name = "limit that copies" if objects else "limit"
            yield Peer(name, port, [psutil.Process(process.pid)], checked=False)
        finally:
            process.terminate()


@contextmanager
def bare_peer(sent: Path) -> Iterator[Peer]:
    """A loop that sends the bytes of a file to each of its subscribers, one send each."""
    port = free_port()
    with subprocess.Popen([program("bare_sender"), str(port), sent]) as process:
        try:
            wait_until(lambda: psutil.Process(process.pid).net_connections(), 10, "it listens")
            yield Peer("bare sends", port, [psutil.Process(process.pid)])
        finally:
            process.terminate()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
