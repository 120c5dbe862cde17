"""Puts a real HAProxy before a plain port, which ends TLS there: any server behind it has TLS.

Its certificate can be changed by starting it anew on the same port.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Self

from tests.neighbours.certificates import Certificate
from tests.neighbours.ports import free_port, is_listening
from tests.neighbours.waiting import wait_until

STOP_SECONDS_MAX = 10.0
CONFIG = """\
global
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode tcp
    timeout connect 2s
    timeout client 60s
    timeout server 60s
frontend tls
    bind 127.0.0.1:{port} ssl crt {both} {more}
    default_backend plain
backend plain
    server s 127.0.0.1:{behind}
"""


class TlsFront:
    """One port with TLS before a plain one; with `ca` whoever connects needs a certificate."""

    def __init__(
        self, folder: Path, behind: int, certificate: Certificate, *, ca: Path | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.behind = behind
        self.port = free_port()
        self.certificate = certificate
        self.ca = ca
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts it with the certificate that it has now."""
        both = self.folder / "both.pem"
        both.write_bytes(self.certificate.certificate.read_bytes())
        both.write_bytes(both.read_bytes() + self.certificate.key.read_bytes())
        more = f"ca-file {self.ca} verify required" if self.ca else ""
        config = self.folder / "haproxy.cfg"
        words = {"port": self.port, "both": both, "more": more, "behind": self.behind}
        config.write_text(CONFIG.format(**words))
        self.process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: is_listening(self.port), 10, "haproxy listens")
        return self

    def use(self, certificate: Certificate) -> None:
        """Another certificate from now on; connections end."""
        self.certificate = certificate
        self.stop()
        self.start()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()  # at once, with all connections
            self.process.wait(STOP_SECONDS_MAX)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
