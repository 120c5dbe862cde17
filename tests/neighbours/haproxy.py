"""Starts a real HAProxy before csp servers and reads what it thinks of them."""

from __future__ import annotations

import csv
import io
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.neighbours.ports import free_port
from tests.neighbours.waiting import wait_until

STOP_SECONDS_MAX = 10.0
CONFIG = """\
global
    stats socket {socket} mode 600 level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout check 1s
frontend csp
    bind 127.0.0.1:{port}
    default_backend csp
backend csp
{checks}
{servers}
"""


class HAProxy:
    """One HAProxy; `checks` are the lines of its backend, `ports` its servers.

    `words` stand behind each server: send-proxy, for example. With `text` it is that instead, with
    a socket to ask for its statistics; `port` is then where its clients connect.
    """

    def __init__(
        self,
        folder: Path,
        checks: str = "",
        ports: Sequence[int] = (),
        words: str = "",
        *,
        text: str = "",
        port: int = 0,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.socket = folder / "haproxy.sock"
        self.config = folder / "haproxy.cfg"
        if text:
            asked = f"global\n    stats socket {self.socket} mode 600 level admin\n"
            self.config.write_text(text.replace("global\n", asked, 1))
            return
        servers = "\n".join(
            f"    server s{number} 127.0.0.1:{port} check inter 100ms fall 1 rise 1 {words}"
            for number, port in enumerate(ports)
        )
        whole = CONFIG.format(socket=self.socket, port=self.port, checks=checks, servers=servers)
        self.config.write_text(whole)

    def start(self) -> Self:
        """Starts it."""
        self.process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(self.config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self.socket.exists, 10, "haproxy listens")
        return self

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(STOP_SECONDS_MAX)

    def state(self, number: int = 0) -> str:
        """UP or DOWN, as the statistics say of a server."""
        return self.row("csp", f"s{number}")["status"]

    def row(self, backend: str, server: str) -> dict[str, str]:
        """What the statistics say of a server: `status`, `weight`, and more."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.socket))
            control.sendall(b"show stat\n")
            text = b"".join(iter(lambda: control.recv(65536), b"")).decode()
        for row in csv.DictReader(io.StringIO(text.removeprefix("# "))):
            if (row["pxname"], row["svname"]) == (backend, server):
                return row
        raise AssertionError(text)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
