"""Learns, in short-lived children, what the server's Application says; tries again until it knows.

1. The first answer counts: what changes later the processes see in the store
   (csp/process/own_options.py).
2. A proxy asks its master before its writer starts; while the master is away, what its state folder
   holds serves instead.
3. A master finds its Application in its own store once that is loaded.
4. The Host that the Application names comes with it: its options fill in the Application's.
5. So does the pair that it belongs to: who may be a backup begins with its ports for clients shut,
   as does a proxy of which nothing is known, until it is, or the first attempt has failed.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from csp.exits import EXIT_REFUSED, EXIT_USAGE
from csp.observe.events import log_event
from csp.observe.log import LogSettings
from csp.process.files import write_whole
from csp.supervisor.fork import fork_helper

APPLICATION_FILE = "application.json"
HOST_FILE = "host.json"
PAIR_FILE = "pair.json"
RETRY_SECONDS_FIRST = 0.2
RETRY_SECONDS_MAX = 5.0
# A master that is silent so long is not waited for by a proxy that knows what it said before.
ATTEMPT_SECONDS_MAX = 10.0
POLL_SECONDS = 0.02
FATAL_EXITS = (EXIT_USAGE, EXIT_REFUSED)

log = logging.getLogger("csp.supervisor")


class Own(NamedTuple):
    """The server's own objects; empty where there are none."""

    application: dict[str, Any]
    host: dict[str, Any]
    pair_dbid: int = 0  # the pair that it belongs to, by its configured primary; 0: none


class Bootstrap:
    """The attempts of one start to read the Application object."""

    def __init__(
        self,
        fetch: Callable[[], Own],
        folder: Path,
        app_name: str,
        log: LogSettings,
        *,
        needs_store: bool,
    ) -> None:
        self.needs_store = needs_store
        self._fetch_own = fetch
        self._title = f"csp {app_name}: bootstrap"
        self._folder = folder
        self._file = folder / APPLICATION_FILE
        self._log = log
        self._retry_seconds = RETRY_SECONDS_FIRST
        self.pid = 0
        self.start_at = 0.0
        self._began_at = 0.0
        self.is_done = False
        self.has_failed = False
        self.application: dict[str, Any] = {}
        self.host: dict[str, Any] = {}
        self.pair_dbid = 0

    @property
    def was_of_pair(self) -> bool:
        """Whether an earlier start was told so: it counts until this one knows better."""
        return _pair_in(self._folder) != 0

    @property
    def may_be_of_pair(self) -> bool:
        """The same, or this proxy was never told anything."""
        return self.was_of_pair or not (self.needs_store or self._file.exists())

    @property
    def is_running(self) -> bool:
        """Whether an attempt is under way."""
        return self.pid != 0

    def is_due(self, now: float) -> bool:
        """Whether the next attempt may begin."""
        return not self.is_done and not self.is_running and now >= self.start_at

    def start(self) -> None:
        """Begins an attempt."""
        self._began_at = time.monotonic()
        self.pid = fork_helper(self._title, "bootstrap", self._fetch, self._log)

    def on_end(self, exit_code: int, now: float) -> int | None:
        """Takes the end of an attempt; returns the exit code that ends the whole server."""
        self.pid = 0
        if exit_code == 0:
            self._take()
            return None
        if exit_code in FATAL_EXITS:
            return exit_code
        self.has_failed = True
        if not self.needs_store and self._recall():
            return None
        self.start_at = now + self._retry_seconds * random.uniform(0.5, 1.5)
        self._retry_seconds = min(self._retry_seconds * 2, RETRY_SECONDS_MAX)
        return None

    def run_to_end(self) -> int | None:
        """Tries until the object is known, before there is a supervisor's loop; as `on_end`."""
        while not self.is_done:
            time.sleep(max(0.0, self.start_at - time.monotonic()))
            self.start()
            status = self._wait()
            exit_code = self.on_end(os.waitstatus_to_exitcode(status), time.monotonic())
            if exit_code is not None:
                return exit_code
        return None

    def _wait(self) -> int:
        """The wait status of the attempt under way."""
        while True:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                return status
            self.give_up_late(time.monotonic())
            time.sleep(POLL_SECONDS)

    def give_up_late(self, now: float) -> None:
        """Ends an attempt that takes long, where what is known can serve instead."""
        is_late = self.pid and now - self._began_at > ATTEMPT_SECONDS_MAX
        if is_late and not self.needs_store and self._file.exists():
            log_event(log, "51018", seconds=ATTEMPT_SECONDS_MAX)
            self._began_at = now  # once
            self.kill()

    def kill(self) -> None:
        """Ends an attempt that is under way; it holds nothing."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    def _recall(self) -> bool:
        try:
            self._take()
        except (FileNotFoundError, ValueError):
            return False
        return True

    def _take(self) -> None:
        """Takes what was written down."""
        self.application = json.loads(self._file.read_bytes())
        try:
            self.host = json.loads((self._folder / HOST_FILE).read_bytes())
        except FileNotFoundError:  # an earlier release wrote none
            self.host = {}
        self.pair_dbid = _pair_in(self._folder)
        self.is_done = True

    def _fetch(self) -> None:
        own = self._fetch_own()
        write_down(self._folder / HOST_FILE, own.host)
        write_down(self._folder / PAIR_FILE, {"DBID": own.pair_dbid})
        write_down(self._folder / APPLICATION_FILE, own.application)


def _pair_in(folder: Path) -> int:
    """The pair that was written down there; 0: none was."""
    try:
        return int(json.loads((folder / PAIR_FILE).read_bytes())["DBID"])
    except FileNotFoundError:
        return 0


def write_down(file: Path, found: dict[str, Any]) -> None:
    """Writes an object down, whole or not at all."""
    write_whole(file, json.dumps(found))
