"""What dies and what takes over in `bin/bench switchover`: proxies, redis-server.

1. Each has a plain and a secured port, and every session has the list of all that may serve.
2. Each fails in its own way (`strike`), and says when the successor's port opened.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import psutil
import redis

from bench.load import CORES
from bench.roaming import freeze_all, kill_all
from tests.neighbours.certificates import Authority, Certificate
from tests.neighbours.pairs import Half, ProxyPair
from tests.neighbours.ports import free_port, is_listening
from tests.neighbours.secured import add_ports, tls_words
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until

LEVEL = ("--log-level", "info")  # as in service: tests trace each sign-in
SECURE = "secure"  # the id of the secured port
OPENS_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.003
REDIS_SECONDS_MAX = 10.0
CLIENTS_MAX = 15_000


class Opening(threading.Thread):
    """Looks at a port until it is open; when that was."""

    def __init__(self, port: int) -> None:
        super().__init__(name="opening", daemon=True)
        self.port = port
        self.at = 0.0
        self.start()

    def run(self) -> None:
        """Until it is open, or was not for too long."""
        end = time.monotonic() + OPENS_SECONDS_MAX
        while time.monotonic() < end:
            if is_listening(self.port):
                self.at = time.monotonic()
                return
            time.sleep(LOOK_SECONDS)

    def opened(self) -> float:
        """When it was open; AssertionError if it never was."""
        self.join()
        assert self.at, f"port {self.port} did not open within {OPENS_SECONDS_MAX} s"
        return self.at


@dataclass
class Halves:
    """Two proxies: the first serves and is struck, the second takes over."""

    first: Server
    second: Server
    plain: list[int]
    secured: list[int]
    pair: ProxyPair | None = None
    frozen: list[psutil.Process] = field(default_factory=list)

    def keep_apart(self) -> None:
        """The last core is the load's."""
        for server in (self.first, self.second):
            assert server.process is not None
            for process in (psutil.Process(server.process.pid), *server.children().values()):
                process.cpu_affinity(CORES[:-1] or CORES)

    def strike(self, how: str) -> tuple[float, Opening]:
        """Ends the first in that way; when, and the look at the second's port."""
        assert self.first.process is not None
        pid = self.first.process.pid
        opening = Opening(self.second.port)
        if how == "freeze":
            when, self.frozen = freeze_all(pid)
        else:
            if how == "cut":
                assert self.pair is not None
                self.pair.cut_across()
            when = kill_all(pid)
            self.first.process.wait()
        return when, opening

    def thaw(self) -> None:
        """What was stopped goes on, so that it can be ended."""
        for process in self.frozen:
            process.resume()
        self.frozen = []

    def administrator(self) -> redis.Redis:
        """Of the second, whether it serves or not."""
        if isinstance(self.second, Half):
            return self.second.administrator(protocol=3)
        return self.second.client(protocol=3)


@contextmanager
def two_singles(folder: Path, master: Master) -> Iterator[Halves]:
    """Two proxies that know nothing of each other; both are open."""
    with ExitStack() as stack:
        certificate = Authority(folder / "authority").issue()
        extra = ("--create-app", *LEVEL)
        servers = [stack.enter_context(Proxy(folder, master, app=n, extra=extra)) for n in "ab"]
        secured = [free_port(), free_port()]
        words = tls_words(certificate.certificate, certificate.key)
        for server, port in zip(servers, secured, strict=True):
            add_ports(master, server, {SECURE: (port, words)})
        first, second = servers
        yield Halves(first, second, [first.port, second.port], secured)


@contextmanager
def pair_of_two(
    folder: Path, master: Master, *, keepalive: int, cuttable: bool
) -> Iterator[Halves]:
    """A pair; `keepalive`: seconds, of its links."""
    certificate = Authority(folder / "authority").issue()
    pair = ProxyPair(folder, master, keepalive=(keepalive, keepalive), cuttable=cuttable)
    secured = [free_port(), free_port()]
    words = tls_words(certificate.certificate, certificate.key)
    with master.client() as client:
        for half, port in zip(pair.halves, secured, strict=True):
            row = {"id": SECURE, "port": str(port), "transportParams": words}
            delta = orjson.dumps({"added": {"portInfos": [row]}})
            client.execute_command("CFG.UPDATE", "CfgApplication", half.dbid, delta)
    for half in pair.halves:
        half.extra = LEVEL
    with pair:
        first, second = pair.halves
        halves = Halves(first, second, [first.port, second.port], secured, pair)
        try:
            yield halves
        finally:
            halves.thaw()


class RedisInPlace:
    """A redis-server that is killed, and one that is started in its place."""

    def __init__(self, certificate: Certificate) -> None:
        self.port, self.secured = free_port(), free_port()
        self._certificate = certificate
        self._process = self._started()
        wait_until(lambda: is_listening(self.port), REDIS_SECONDS_MAX, "redis-server listens")

    def replace(self) -> tuple[float, Opening]:
        """Kills it and starts the next; when it was killed, and the look at the port."""
        when = time.monotonic()
        self._process.kill()
        self._process.wait()
        self._process = self._started()
        return when, Opening(self.port)

    def _started(self) -> subprocess.Popen[bytes]:
        command = ["redis-server", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        command += ["--maxclients", str(CLIENTS_MAX), "--requirepass", PASSWORD]
        command += ["--tls-port", str(self.secured), "--tls-auth-clients", "no"]
        command += ["--tls-cert-file", str(self._certificate.certificate)]
        command += ["--tls-key-file", str(self._certificate.key)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        psutil.Process(process.pid).cpu_affinity(CORES[:-1] or CORES)
        return process

    def __enter__(self) -> RedisInPlace:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
