"""Starts a PostgreSQL server of its own for tests, and makes databases in it.

1. Its data, its socket, its shared memory and its log lie in one folder that goes when it stops;
   no other cluster of this machine is touched.
2. Its programs refuse to run as root, so root starts them as the user `postgres`.
3. It speaks over a Unix socket only; connections as its own user need no password. With `secure`
   it listens on the loopback too, there by TLS alone and with a password.
4. fsync is off unless asked for: what a killed server process loses, the system still has.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg

from tests.needs import postgres_folder
from tests.neighbours.certificates import Certificate
from tests.neighbours.ports import free_port
from tests.neighbours.waiting import wait_until

SYSTEM_USER = "postgres"  # whom Debian's package makes
START_SECONDS_MAX = 30.0
COMMAND_SECONDS_MAX = 60.0
SETTINGS = {
    "listen_addresses": "''",
    "shared_buffers": "'16MB'",
    "max_connections": "60",
    "autovacuum": "off",
    "full_page_writes": "off",
    "restart_after_crash": "on",
    "dynamic_shared_memory_type": "mmap",  # in its folder, so that a kill leaves nothing behind
}


class Postgres:
    """One cluster in a folder of its own; stopped by `stop`, whatever state it is in."""

    def __init__(self, *, fsync: bool = False) -> None:
        # A socket's path is limited to 107 bytes, so it can't lie under pytest's long folders.
        self.folder = Path(tempfile.mkdtemp(prefix="csp-pg-"))
        self.port = free_port()
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._fsync = fsync
        self._settings: dict[str, str] = {}
        self._numbers = count(1)
        is_root = os.geteuid() == 0
        self._identity: dict[str, Any] = {}
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        if is_root:
            self.user = SYSTEM_USER
            self._identity = {"user": SYSTEM_USER, "group": SYSTEM_USER, "extra_groups": []}
            shutil.chown(self.folder, SYSTEM_USER)
            self.folder.chmod(0o755)
        self._run("initdb", "-D", str(self.data), "-A", "trust", "-E", "UTF8", "--locale=C",
                  "--no-sync", "--no-instructions")  # fmt: skip

    def secure(self, certificate: Certificate, *, ca: Path | None = None) -> None:
        """By TLS with this certificate from the next start on; `ca`: who connects needs one too."""
        for name, source in (
            ("server.crt", certificate.certificate),
            ("server.key", certificate.key),
        ):
            shutil.copyfile(source, self.data / name)
            (self.data / name).chmod(0o600)
        demanded = "clientcert=verify-ca" if ca else ""
        lines = f"local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256 {demanded}\n"
        (self.data / "pg_hba.conf").write_text(lines)
        self._settings |= {"listen_addresses": "'127.0.0.1'", "ssl": "on"}
        if ca is not None:
            shutil.copyfile(ca, self.data / "root.crt")
            self._settings["ssl_ca_file"] = "'root.crt'"
        if self._identity:
            for file in self.data.iterdir():
                shutil.chown(file, SYSTEM_USER, SYSTEM_USER)

    def start(self) -> Self:
        """Starts it, also after a kill, and waits until it takes connections."""
        settings = (
            SETTINGS
            | self._settings
            | {
                "fsync": "on" if self._fsync else "off",
                "unix_socket_directories": f"'{self.folder}'",
                "port": str(self.port),
            }
        )
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        conf = self.data / "postgresql.auto.conf"
        conf.write_text("".join(lines))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(postgres_folder() / "postgres"), "-D", str(self.data)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._identity,
            )
        wait_until(self._answers, START_SECONDS_MAX, "PostgreSQL takes connections")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"PostgreSQL ended\n{self.log.read_text()[-4000:]}")
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, database: str = "postgres") -> str:
        """The address as `csp master --db` takes it."""
        return f"postgresql://{self.user}@/{database}?host={self.folder}&port={self.port}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A plain connection for a test's own questions; each statement is a transaction."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user=self.user, dbname=database,
            autocommit=True, connect_timeout=5,
        )  # fmt: skip

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Runs one statement; its rows, if it has any."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self, template: str = "template0") -> str:
        """An empty database, or a copy of one that nobody is connected to; its name."""
        name = f"csp_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        return name

    def new_url(self) -> str:
        """The address of a new, empty database."""
        return self.url(self.new_database())

    def cut_off(self, database: str) -> int:
        """Ends all connections to a database, as an administrator would; how many."""
        ended = self.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )
        return int(ended[0][0])

    def processes(self) -> list[psutil.Process]:
        """The server's processes, the first one first."""
        first = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        parent = psutil.Process(first)
        return [parent, *parent.children(recursive=True)]

    def kill(self) -> None:
        """Kills all its processes at once, as a machine that fails."""
        found = self.processes()
        for process in found:
            _signal(process, signal.SIGSTOP)  # else a child would tell clients good-bye
        for process in found:
            _signal(process, signal.SIGKILL)
        wait_until(lambda: all(map(_is_gone, found)), 10, "its processes are gone")
        assert self.process is not None
        self.process.wait(10)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def pause(self) -> None:
        """Stops all its processes: connections stay, nothing answers."""
        for process in self.processes():
            _signal(process, signal.SIGSTOP)

    def resume(self) -> None:
        for process in self.processes():
            _signal(process, signal.SIGCONT)

    def stop(self) -> None:
        """Ends it and removes its folder."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self if self.process else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(postgres_folder() / program), *arguments],
            cwd=self.folder, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX,
            check=False, **self._identity,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"{program}: {done.stdout}{done.stderr}")


@cache
def shared() -> Postgres:
    """A server that all tests of this process share; they leave it running."""
    server = Postgres()
    atexit.register(server.stop)
    return server.start()


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # a child that ended by itself meanwhile


def _is_gone(process: psutil.Process) -> bool:
    """Whether it runs no more; an orphan stays a zombie until the system's first process looks."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
