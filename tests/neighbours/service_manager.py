"""A service manager that keeps listeners over a restart, as systemd's descriptor store does."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

from tests.neighbours.server import PASSWORD, ROOT, Server

KEPT_MAX = 64
# In the new process, before csp: what is kept lies from 3 on, and is said to be for this pid.
LAUNCH = """
import os, sys
fds = [int(one) for one in sys.argv[1].split(",") if one]
high = [os.dup2(fd, 200 + place) for place, fd in enumerate(fds)]
for fd in fds:
    os.close(fd)
for place, fd in enumerate(high):
    os.dup2(fd, 3 + place)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "csp", *sys.argv[2:]])
"""


class ServiceManager:
    """Starts one server, hears what it says, and keeps what it is given."""

    def __init__(self, folder: Path) -> None:
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = "\0csp-manager-" + folder.name
        self._ear.bind(self.path)
        self.said: list[str] = []
        self.kept: dict[str, int] = {}
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._end_read, self._end_write = os.pipe()
        self._thread.start()

    def _hear(self) -> None:
        while self._ear in select.select([self._ear, self._end_read], [], [])[0]:
            data, fds, _, _ = socket.recv_fds(self._ear, 4096, KEPT_MAX)
            lines = dict(line.split("=", 1) for line in data.decode().splitlines())
            if "FDSTORE" in lines:
                (fd,) = fds
                self._drop(lines["FDNAME"])
                self.kept[lines["FDNAME"]] = fd
            if "FDSTOREREMOVE" in lines:
                self._drop(lines["FDNAME"])
            self.said.append(data.decode())

    def _drop(self, name: str) -> None:
        if name in self.kept:
            os.close(self.kept.pop(name))

    def start(self, server: Server) -> Server:
        """Starts it with what is kept."""
        names = list(self.kept)
        fds = [self.kept[name] for name in names]
        variables = os.environ | {
            "PYTHONPATH": str(ROOT),
            "CSP_PASSWORD": PASSWORD,
            "CSP_DEFAULT_PASSWORD": PASSWORD,
            "CSP_RUNTIME_DIR": str(server.runtime),
            "CSP_STATE_DIR": str(server.state),
            "NOTIFY_SOCKET": self.path.replace("\0", "@"),
            "LISTEN_FDS": str(len(fds)),
            "LISTEN_FDNAMES": ":".join(names),
        }
        with server.log.open("ab") as log:
            server.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, ",".join(map(str, fds)), *server.leveled()],
                env=variables,
                cwd=server.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=fds,
            )
        server.wait_ready()
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._end_write)
        self._thread.join()
        for name in list(self.kept):
            self._drop(name)
        self._ear.close()
        os.close(self._end_read)
