"""The stage of TLS: a master, a proxy with a plain and a secured port, and redis-server with both.

1. All show certificates of one authority, on P-256; clients of the bench speak TLS 1.3 with one
   suite (native/wire.h), so that no server is measured by what it would rather choose.
2. A port is added to the proxy's Application, which it looks at when it starts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click
import redis

from bench.fill import fill
from bench.get import objects_of
from bench.load import Peer
from bench.peers import redis_peer
from bench.stage import Stage, worker_peer
from tests.neighbours.certificates import Authority, Certificate
from tests.neighbours.ports import free_port
from tests.neighbours.secured import add_ports, tls_words
from tests.neighbours.server import Master, Proxy

PORT_ID = "secure"


@dataclass(frozen=True)
class TlsStage:
    """What the rows of TLS are measured on."""

    on: Stage
    authority: Authority
    certificate: Certificate  # the proxy's files
    port: int  # the proxy's secured one
    redis: Peer  # its secured one

    @property
    def whole(self) -> Peer:
        """The proxy by TLS, all its processes."""
        return replace(self.on.peer, port=self.port, tls=True)

    @property
    def workers(self) -> Peer:
        """The proxy by TLS, its workers alone."""
        return replace(worker_peer(self.on), port=self.port, tls=True)

    def publisher(self) -> redis.Redis:
        """A client of redis-server by TLS."""
        trusted = str(self.authority.root)
        return redis.Redis("127.0.0.1", self.redis.port, ssl=True, ssl_ca_certs=trusted)


@contextmanager
def tls_stage(persons: int, object_bytes: int) -> Iterator[TlsStage]:
    """Both servers hold as many persons, of the same bytes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        authority = Authority(folder / "authority")
        certificate = authority.issue()
        master = stack.enter_context(Master(folder))
        click.echo(f"filling a master with {persons} persons of {object_bytes} bytes")
        held = fill(master, "CfgPerson", persons, object_bytes)
        proxy = stack.enter_context(Proxy(folder, master))
        port = free_port()
        words = tls_words(certificate.certificate, certificate.key)
        add_ports(master, proxy, {PORT_ID: (port, words)})
        objects = objects_of(proxy, {"persons": held})
        peer = stack.enter_context(redis_peer(objects, authority.issue()))
        yield TlsStage(Stage(folder, master, proxy, held), authority, certificate, port, peer)
