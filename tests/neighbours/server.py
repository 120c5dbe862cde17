"""Starts real csp servers, a master or a proxy, as a user would, and looks at their processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import psutil
import redis

from tests.neighbours import secrets
from tests.neighbours.databases import Place, SqlitePlace, place_of_master
from tests.neighbours.leaks import check_left_behind, check_log
from tests.neighbours.ports import free_port
from tests.neighbours.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "correct horse"
secrets.note(PASSWORD)
LEVEL = ("--log-level", "debug")  # so that a log which shows a secret is found
READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 45.0  # a proxy's snapshot may take 30 of them


class Server(ABC):
    """One csp server: a supervisor and its children, in a folder of its own."""

    def __init__(self, folder: Path, *, workers: int, environment: dict[str, str] | None) -> None:
        self.folder = folder
        self.workers = workers
        self.port = free_port()
        self.listens_at = "127.0.0.1"
        self.reached_at = "127.0.0.1"  # by who tests it
        self.within: tuple[str, ...] = ()  # the command that runs it: in another network
        self.log = folder / f"{type(self).__name__.lower()}-{self.port}.log"
        # A socket's path is limited to 108 bytes, so it can't lie under pytest's long folders.
        self.runtime = Path(tempfile.mkdtemp(prefix="csp-test-"))
        self.state = folder / f"state-{self.port}"  # of a proxy, over its stops
        self.environment = environment or {}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def listen(self) -> str:
        """Where it takes clients; those of tests connect by the loopback."""
        return f"{self.listens_at}:{self.port}"

    @abstractmethod
    def arguments(self) -> list[str]:
        """The command line after `csp`."""

    def start(self, *, ready: bool = True, **environment: str) -> Self:
        """Starts it and waits until it serves."""
        variables = os.environ | {
            "PYTHONPATH": str(ROOT),
            "CSP_PASSWORD": PASSWORD,
            "CSP_DEFAULT_PASSWORD": PASSWORD,
            "CSP_RUNTIME_DIR": str(self.runtime),
            "CSP_STATE_DIR": str(self.state),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.within, sys.executable, "-m", "csp", *self.leveled()],
                env=variables | self.environment | environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if ready:
            self.wait_ready()
        return self

    def leveled(self) -> list[str]:
        """The command line, with the level of the log where the test says none."""
        words = self.arguments()
        return words if any(word.endswith("-log-level") for word in words) else [*words, *LEVEL]

    def wait_ready(self, within: float = READY_SECONDS_MAX) -> None:
        """Waits until reads are answered; raises with the log if the process ends instead."""

        def is_ready() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"exit {self.process.returncode}\n{self.log_text()}")
            return self.answers()

        try:
            wait_until(is_ready, within, f"{type(self).__name__} is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_text()}") from None

    def answers(self) -> bool:
        """Whether a read is answered now."""
        try:
            with self.at_open_port(socket_timeout=2) as client:
                client.execute_command("DBSIZE")
        except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
            return False
        return True

    def at_open_port(self, **options: Any) -> redis.Redis:
        """The same as `client`, by a port that is open as long as the server runs."""
        return self.client(**options)

    def client(self, **options: Any) -> redis.Redis:
        """A redis-py client that is signed in as the default account."""
        options = {"socket_timeout": 20, "decode_responses": True} | options
        return redis.Redis(
            self.reached_at, self.port, username="default", password=PASSWORD, **options
        )

    def raw(self, protocol: int = 2, **options: Any) -> redis.Connection:
        """One plain connection, signed in: replies as they come."""
        connection = redis.Connection(
            self.reached_at,
            self.port,
            username="default",
            password=PASSWORD,
            protocol=protocol,
            **options,
        )
        connection.connect()
        return connection

    def cli(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs `csp ARGUMENTS --server` against this server."""
        return run_cli(*arguments, "--server", f"{self.reached_at}:{self.port}", **options)

    def alarms(self) -> dict[str, dict[str, Any]]:
        """What CFG.STATUS shows as raised, by name."""
        with self.client(protocol=3) as client:
            found: list[dict[str, Any]] = client.execute_command("CFG.STATUS")["alarms"]
        return {str(one["name"]): one for one in found}

    def children(self) -> dict[str, psutil.Process]:
        """The processes by role: writer, auth, worker 0, …"""
        assert self.process is not None
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                title = " ".join(child.cmdline())
            except psutil.NoSuchProcess:
                continue
            if ": " in title:
                found[title.rsplit(": ", 1)[1].strip()] = child
        return found

    def child(self, role: str, within: float = 10.0) -> psutil.Process:
        """One child by role; waits for it."""
        return wait_until(lambda: self.children().get(role), within, f"a process {role}")

    def stop(self) -> int:
        """Asks it to stop, when it has left nothing behind of clients that went; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            check_left_behind(self.log, self.workers)
        self.process.send_signal(signal.SIGTERM)
        return self._wait()

    def forget(self) -> None:
        """Removes what a proxy keeps over its stops: the next start loads from the master."""
        shutil.rmtree(self.state, ignore_errors=True)

    def kill(self) -> None:
        """Kills the supervisor as the kernel would; its children end by themselves."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self._wait()
        psutil.wait_procs(children, timeout=STOP_SECONDS_MAX)

    def _wait(self) -> int:
        assert self.process is not None
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"did not stop\n{self.log_text()}") from None

    def log_text(self, characters: int = 40_000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def __enter__(self) -> Self:
        return self if self.process else self.start()

    def __exit__(self, *_: object) -> None:
        """Stops what still runs and removes what a killed server left."""
        try:
            if self.process and self.process.poll() is None:
                self.stop()
            check_log(self.log)
            self._check_secrets()
        finally:
            self._remove_leftovers()

    def _check_secrets(self) -> None:
        """No log shows what somebody signs in with."""
        secrets.check_secrets(self.log)

    def _remove_leftovers(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self._wait()
        shutil.rmtree(self.runtime, ignore_errors=True)
        for leftover in Path("/dev/shm").glob(f"csp-*{self.port}*"):
            leftover.unlink(missing_ok=True)


class Master(Server):
    """A master on the database at `url`; without one, on its folder's (see databases.py)."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        app: str = "confserv",
        environment: dict[str, str] | None = None,
        extra: tuple[str, ...] = (),
        url: str = "",
    ) -> None:
        super().__init__(folder, workers=workers, environment=environment)
        self.app = app
        self.place: Place | None = None if url else place_of_master(folder)
        self.url = self.place.url if self.place else url
        self.extra = extra

    def arguments(self) -> list[str]:
        return [
            *("master", "--db", self.url, "-app", self.app),
            *("--listen", self.listen, "--workers", str(self.workers), *self.extra),
        ]

    def _check_secrets(self) -> None:
        if isinstance(self.place, SqlitePlace) and self.place.path.exists():
            secrets.note_database(self.place.path)
        super()._check_secrets()


class Proxy(Server):
    """A proxy of a master (or of another proxy); makes its Application at the first start."""

    def __init__(
        self,
        folder: Path,
        master: Server | int,
        *,
        workers: int = 1,
        app: str = "proxy1",
        environment: dict[str, str] | None = None,
        extra: tuple[str, ...] = ("--create-app",),
    ) -> None:
        super().__init__(folder, workers=workers, environment=environment)
        self.app = app
        self.master_host = "127.0.0.1"
        self.master_port = master if isinstance(master, int) else master.port
        self.extra = extra

    def arguments(self) -> list[str]:
        return [
            *("proxy", "-host", self.master_host, "-port", str(self.master_port)),
            *("-app", self.app),
            *("--listen", self.listen, "--workers", str(self.workers), *self.extra),
        ]


def run_cli(
    *arguments: str, within: float = 120.0, told: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs `csp ARGUMENTS` to its end; `told` is what it finds on its standard input."""
    secrets.note(*(text for name, text in environment.items() if name.endswith("PASSWORD")))
    return subprocess.run(
        [sys.executable, "-m", "csp", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "CSP_PASSWORD": PASSWORD} | environment,
        input=told,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
