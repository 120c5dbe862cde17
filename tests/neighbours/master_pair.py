"""Two real masters on one PostgreSQL database: the primary, and the backup that stands by.

`with MasterPair(tmp_path, postgres.new_url()) as pair:` starts both and waits until the first one
serves and the second one is loaded and shown as there.  `pair.first` and `pair.second` are servers
as any (tests/neighbours/server.py); `pair.primary` and `pair.backup` are who has which role now,
as their control segments say it.  `kill_all`, `pause`, `resume` act on all processes of one.
The Applications are built-in `confserv` for the first and, without more, the same for the second;
`configure(pair)` makes a configured pair of them, with Applications of their own.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Self

import psutil

from csp._fastpath import Control, StoreMismatch
from csp.process.standing import ROLE_BACKUP, Standing, shown
from csp.store import segment
from tests.neighbours.server import READY_SECONDS_MAX, Master
from tests.neighbours.waiting import wait_until

BACKUP_APP = "confserv_b"


class MasterPair:
    """Both of them; stopped and tidied up at the end, whatever state they are in."""

    def __init__(self, folder: Path, url: str, *, workers: int = 1, app: str = BACKUP_APP) -> None:
        self.url = url
        self.first = Master(folder, url=url, workers=workers)
        self.second = Master(folder, url=url, workers=workers, app=app)
        self._paused: list[psutil.Process] = []

    def start(self) -> Self:
        """Starts the one, then the other, and waits until that stands by."""
        self.first.start()
        self.second.start(ready=False)
        self.wait_stands_by(self.second)
        seen = lambda: shown_by(self.first).peer_state == "ready"  # noqa: E731
        wait_until(seen, READY_SECONDS_MAX, "the primary sees its backup")
        return self

    def wait_stands_by(self, server: Master, within: float = READY_SECONDS_MAX) -> None:
        """Waits until it is loaded, follows, and takes no clients."""
        what = f"{server.app} stands by\n{server.log_text()}"
        wait_until(lambda: _is_ready_backup(server), within, what)

    def wait_primary(self, server: Master, within: float = READY_SECONDS_MAX) -> None:
        """Waits until it has the database and takes writes."""
        found = lambda: _role(server) not in (None, ROLE_BACKUP)  # noqa: E731
        try:
            wait_until(found, within, f"{server.app} is primary")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{server.log_text()}") from None

    @property
    def primary(self) -> Master:
        """Who has the database, by what both show."""
        is_second = _is_primary(self.second) and not _is_primary(self.first)
        return self.second if is_second else self.first

    @property
    def backup(self) -> Master:
        """The other one."""
        return self.second if self.primary is self.first else self.first

    @property
    def is_settled(self) -> bool:
        """Whether one stands by, loaded, and is seen by the other one, which is the primary.

        Who was killed shows what it was until it is started anew: ask when writes go on.
        """
        backups = [one for one in (self.first, self.second) if _role(one) == ROLE_BACKUP]
        seen = shown_by(self.primary)
        return len(backups) == 1 and _is_ready_backup(backups[0]) and seen.peer_state == "ready"

    @staticmethod
    def processes(server: Master) -> list[psutil.Process]:
        """All processes of one, its supervisor first."""
        assert server.process is not None
        supervisor = psutil.Process(server.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def kill_all(self, server: Master) -> None:
        """Kills all its processes at once, as the end of its machine."""
        self.pause(server)
        for process in self._paused:
            process.kill()
        self._paused.clear()
        assert server.process is not None
        server.process.wait(10)

    def pause(self, server: Master) -> None:
        """Stops all its processes, as a paused machine."""
        self._paused = self.processes(server)
        for process in self._paused:
            process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Has them go on."""
        for process in self._paused:
            if process.is_running():
                process.send_signal(signal.SIGCONT)
        self._paused.clear()

    def __enter__(self) -> Self:
        return self if self.first.process else self.start()

    def __exit__(self, *_: object) -> None:
        self.resume()
        try:
            self.second.__exit__()
        finally:
            self.first.__exit__()


def shown_by(server: Master) -> Standing:
    """What its control segment says of its rank now; a single server's where nothing was shown."""
    control = _control(server)
    return shown(control) if control is not None else Standing()


def _is_primary(server: Master) -> bool:
    """Whether it runs, and shows itself as who takes writes."""
    is_running = server.process is not None and server.process.poll() is None
    return is_running and _role(server) not in (None, ROLE_BACKUP)


def _role(server: Master) -> int | None:
    control = _control(server)
    return None if control is None or not control.standing() else shown(control).role


def _is_ready_backup(server: Master) -> bool:
    if server.process is not None and server.process.poll() is not None:
        raise AssertionError(f"exit {server.process.returncode}\n{server.log_text()}")
    standing = shown_by(server)
    return standing.role == ROLE_BACKUP and not standing.serving and not standing.why_not


def _control(server: Master) -> Control | None:
    """The control segment of a running server; None while there is none."""
    for folder in server.runtime.iterdir():
        try:
            fd = segment.open_control(folder.name)
        except segment.SegmentMissing:
            continue
        try:
            return Control(fd)
        except StoreMismatch:  # it is being made
            continue
        finally:
            os.close(fd)
    return None


def configure(pair: MasterPair) -> None:
    """Has the configuration say that the two are a pair; ends when the primary shows it."""
    with pair.primary.client() as client:
        host = {"name": "backup-host", "IPaddress": "127.0.0.1", "type": "server"}
        _, host_dbid = client.execute_command("CFG.CREATE", "CfgHost", json.dumps(host))
        text = client.execute_command("GET", "CfgApplication:99")
        own = json.loads(text)
        backup = {
            **{"name": pair.second.app, "type": own["type"], "version": own["version"]},
            **{"appPrototypeDBID": own["appPrototypeDBID"], "isServer": True},
            "serverInfo": {"hostDBID": host_dbid, "port": str(pair.second.port)},
            "redundancyType": "htwarmstanby",
            "isPrimary": False,
        }
        _, dbid = client.execute_command("CFG.CREATE", "CfgApplication", json.dumps(backup))
        delta = {"redundancyType": "htwarmstanby", "serverInfo": {"backupServerDBID": dbid}}
        client.execute_command("CFG.UPDATE", "CfgApplication:99", json.dumps(delta))
    wait_until(lambda: shown_by(pair.primary).peer_dbid == dbid, 10, "the pair is shown")
