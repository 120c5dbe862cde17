"""Starts, kills and stops the demo's two servers and remembers them for a later run."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import psutil

from csp.client import Address, CannotConnect, Client, ConnectionLost, Credentials
from csp.errors import Loading

PREFERRED_PORTS = {"master": 2020, "proxy": 2021}
READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 15.0
POLL_SECONDS = 0.02
STATE = "demo.json"


class DemoFault(Exception):
    """Something in the demo did not go as it must; the text says what."""


class Stage:
    """The demo's folder, its password and its two servers."""

    def __init__(self, folder: Path, password: str, ports: dict[str, int] | None = None) -> None:
        self.folder, self.password = folder, password
        self.ports = ports or {name: _free_port(port) for name, port in PREFERRED_PORTS.items()}
        self.pids: dict[str, int] = {}

    # ------------------------------------------------------------------ servers

    def command(self, name: str) -> list[str]:
        """The words after `bin/csp` that start the server."""
        listen = ["--listen", f"127.0.0.1:{self.ports[name]}"]
        if name == "master":
            return ["master", "--db", f"sqlite:///{self.folder / 'centre.db'}", *listen]
        upstream = ["-host", "127.0.0.1", "-port", str(self.ports["master"])]
        return ["proxy", *upstream, "-app", "demo-proxy", *listen, "--workers", "2", "--create-app"]

    def start(self, name: str) -> None:
        """Starts a server and waits until it serves."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "csp", *self.command(name)],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pids[name] = process.pid

        def serves() -> bool:
            if process.poll() is not None:
                raise DemoFault(f"the {name} ended:\n{self._log_end(name)}")
            return self._serves(name)

        self.wait(serves, READY_SECONDS_MAX, f"the {name} serves; see {self.folder}/{name}.log")

    def kill(self, name: str) -> None:
        """Kills all of a server's processes at once, as a power cut would."""
        for process in self._processes(name):
            process.kill()
        self.wait(lambda: not self._processes(name), STOP_SECONDS_MAX, f"the {name} is dead")

    def run(self, *arguments: str) -> str:
        """Runs `csp ARGUMENTS` and returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "csp", *arguments],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DemoFault(f"csp {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
        return done.stdout

    def client(self, name: str) -> Client:
        """A client that is signed in as the default account."""
        address = Address("127.0.0.1", self.ports[name])
        credentials = Credentials("default", self.password)
        return Client(address, credentials, name="demo", reconnect_seconds=0)

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Waits; returns the seconds it took; DemoFault when it does not come true."""
        begin = time.monotonic()
        while not condition():
            if time.monotonic() - begin > seconds:
                raise DemoFault(f"not within {seconds:g} s: {what}")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - begin

    # ------------------------------------------------------------------ what is left

    def clear(self) -> list[str]:
        """Stops both servers; returns their processes and segments that are still there."""
        # Their runtime folders name their instances; a port in a segment's name may be another's.
        instances = self._instances()
        for name in ("proxy", "master"):
            for process in self._processes(name)[:1]:
                process.send_signal(signal.SIGTERM)
            try:
                self.wait(lambda n=name: not self._processes(n), STOP_SECONDS_MAX, "")  # type: ignore[misc]
            except DemoFault:
                self.kill(name)
        shutil.rmtree(self._runtime(), ignore_errors=True)
        segments = [
            path.name
            for path in Path("/dev/shm").glob("csp-*")
            if path.name.startswith(tuple(f"csp-{name}-" for name in instances))
        ]
        processes = [f"process {p.pid}" for n in self.ports for p in self._processes(n)]
        return segments + processes

    def _instances(self) -> list[str]:
        """The names of the instances that run, or left something, in the demo's folder."""
        runtime = self._runtime()
        return [path.name for path in runtime.iterdir()] if runtime.is_dir() else []

    def remember(self) -> None:
        """Writes down what is running, for the next run."""
        state = {"password": self.password, "ports": self.ports, "pids": self.pids}
        path = self.folder / STATE
        path.touch(mode=0o600)
        path.write_bytes(orjson.dumps(state))

    @classmethod
    def earlier(cls, folder: Path) -> Stage | None:
        """What an earlier run wrote down."""
        path = folder / STATE
        if not path.exists():
            return None
        state = orjson.loads(path.read_bytes())
        stage = cls(folder, state["password"], state["ports"])
        stage.pids = state["pids"]
        return stage

    def is_running(self) -> bool:
        return any(self._processes(name) for name in self.ports)

    def description(self) -> str:
        """Ports, password and what to try."""
        lines = []
        for name, port in self.ports.items():
            running = "running" if self._processes(name) else "not running"
            lines.append(f"  {name:7} 127.0.0.1:{port}  {running}  log {self.folder}/{name}.log")
        lines.append(f"  user default, password {self.password}")
        lines.append(
            f"  try: redis-cli -p {self.ports['proxy']} --user default --pass {self.password} "
            f"GET CfgTenant:1"
        )
        return "\n".join(lines)

    def _processes(self, name: str) -> list[psutil.Process]:
        """The supervisor first, then its children; empty when it is gone."""
        try:
            supervisor = psutil.Process(self.pids[name])
            if supervisor.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(supervisor.pid, os.WNOHANG)
                return []
            if not any("csp" in word for word in supervisor.cmdline()):
                return []  # the number belongs to somebody else by now
            return [supervisor, *supervisor.children(recursive=True)]
        except (KeyError, psutil.NoSuchProcess, ChildProcessError):
            return []

    def _serves(self, name: str) -> bool:
        try:
            with self.client(name) as client:
                return client.count("CfgTenant") > 0
        except (CannotConnect, ConnectionLost, Loading):
            return False

    def _runtime(self) -> Path:
        return self.folder / "run"

    def _log_end(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2_000:]

    def _environment(self) -> dict[str, str]:
        passwords = {"CSP_PASSWORD": self.password, "CSP_DEFAULT_PASSWORD": self.password}
        folders = {
            "CSP_RUNTIME_DIR": str(self._runtime()),
            "CSP_STATE_DIR": str(self.folder / "state"),
        }
        return os.environ | passwords | folders


def _free_port(preferred: int) -> int:
    """The preferred port if nobody has it, else any."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFault("no free port on 127.0.0.1")
