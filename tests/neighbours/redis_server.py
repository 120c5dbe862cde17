"""Starts the real redis-server, which csp is compared with."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Self

import redis

from tests.neighbours.certificates import Certificate
from tests.neighbours.ports import free_port
from tests.neighbours.waiting import wait_until

READY_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 10.0


class RedisServer:
    """One redis-server without persistence; with a password, whoever connects needs it.

    With a certificate it has a port by TLS besides, which with `ca` demands one of who connects.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: str = "",
        certificate: Certificate | None = None,
        ca: Path | None = None,
    ) -> None:
        self.folder = folder
        self.password = password
        self.port = free_port()
        self.secured_port = free_port() if certificate else 0
        self._certificate = certificate
        self._ca = ca
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts it and waits until it answers."""
        self.process = subprocess.Popen(
            [
                *("redis-server", "--port", str(self.port), "--save", "", "--dir", self.folder),
                *("--requirepass", self.password),
                *self._tls_words(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, READY_SECONDS_MAX, "redis-server answers")
        return self

    def _tls_words(self) -> list[str]:
        if self._certificate is None:
            return []
        files = ("--tls-cert-file", str(self._certificate.certificate))
        files += ("--tls-key-file", str(self._certificate.key))
        ca = ("--tls-ca-cert-file", str(self._ca or self._certificate.certificate))
        demands = ("--tls-auth-clients", "yes" if self._ca else "no")
        return ["--tls-port", str(self.secured_port), *files, *ca, *demands]

    def client(self, **options: Any) -> redis.Redis:
        """A redis-py client."""
        return redis.Redis("127.0.0.1", self.port, password=self.password or None, **options)

    def stop(self) -> None:
        """Ends it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(STOP_SECONDS_MAX)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
