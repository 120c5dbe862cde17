"""What the supervisor hands to each process it forks: names, descriptors, limits, two pipes.

1. A context is made before the fork and never changed after it.
2. `control_fd` speaks one byte at a time from the supervisor (`Request`); its end means that the
   supervisor is dead and the process exits at once, without draining.
3. `report_fd` speaks one byte at a time to the supervisor (`Report`); a process reports ready once.
4. Every PING is answered by a BEAT from the process's main loop, so that a hung loop is found.
5. A secret is never shown by `repr`.
6. A child that can never serve raises StartRefused from its main before it has reported ready.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from csp.process.keepalive import USUAL, Keepalive
from csp.process.ports import Port
from csp.process.roles import Role
from csp.process.source import ANYWHERE, Source
from csp.secure import Tls

Mode = Literal["master", "proxy"]
OptionValue = int | str | bool

CONTROL_READ_BYTES = 64  # a few requests at once are plenty: the supervisor sends one a second


class StartRefused(Exception):
    """A child can't serve as it was told to: before readiness it ends the whole server.

    With the exit code of a limit it is tried again: room may come.
    """

    def __init__(self, exit_code: int, text: str) -> None:
        super().__init__(text)
        self.exit_code = exit_code  # 2 usage or refused object, 3 connection, 4 refused


class Request(Enum):
    """What the supervisor asks of a child over `control_fd`."""

    DRAIN = b"D"  # take nothing new, finish what is under way, exit 0
    LEAVE = b"L"  # the whole server ends: what another one may take is given up; DRAIN follows
    PING = b"P"  # answered by Report.BEAT
    RELOAD = b"H"  # takes anew what lies in files: the master's password, certificates
    EXIT = b""  # the supervisor is dead: exit now


class Report(Enum):
    """What a child says to the supervisor over `report_fd`."""

    READY = b"R"  # serves from now on; a death after it is followed by a restart at once
    BEAT = b"B"  # the main loop turns
    STANDING = b"S"  # the writer: whether ports for clients are to be open has changed


@dataclass(frozen=True)
class Upstream:
    """The master that a proxy is fed by, and how it signs in there."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    password_file: str = ""  # read before each sign-in, where it is named
    tls: Tls | None = None  # None: it is connected to without
    source: Source = ANYWHERE  # from where connections to it go out
    keepalive: Keepalive = USUAL  # how long either end of them may be silent

    @property
    def shown_host(self) -> str:
        """The host as it stands before a port: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def address(self) -> str:
        """HOST:PORT, as every tool takes it."""
        return f"{self.shown_host}:{self.port}"


@dataclass(frozen=True)
class ProcessContext:
    """All that one child knows about the server it is part of."""

    mode: Mode
    role: Role
    app_name: str  # name of the Application object; part of the process title
    app_dbid: int  # 0 while unknown (a master's very first start)
    instance: str  # names the segments: /csp-<instance>-control, /csp-<instance>-<generation>
    runtime_folder: str  # 0700, holds the channels' sockets and the locks
    address: str  # HOST:PORT as bound
    started_ms: int  # when the supervisor started, milliseconds UTC

    slot: int  # of the control segment; a worker's is its number
    worker_count: int
    client_count_max: int  # of the whole server; RLIMIT_NOFILE less 100

    listen_fds: tuple[int, ...]  # worker: its own listeners, one an address; empty for the others
    wake_fds: tuple[int, ...]  # one eventfd per worker, by slot; a worker reads wake_fds[slot]
    channel_fd: int  # the listening Unix socket of a role that others ask; else -1
    control_fd: int
    report_fd: int
    session_fd: int  # shared table of client rows, SESSION_ROW_BYTES each, RW by all
    session_rows: int  # per worker: slot s owns rows [s * session_rows, (s + 1) * session_rows)

    reserve_bytes: int  # address space of the data segment
    log_reserve_bytes: int  # part of it that the change log may take
    state_folder: str = ""  # proxy only: 0700, holds its snapshot
    database_url: str = field(default="", repr=False)  # master only; may hold a password
    must_restore_default: bool = False  # master only: the account `default`, at its start
    upstream: Upstream | None = None  # proxy only
    ports: tuple[Port, ...] = ()  # of the server; a port's number is its place
    listen_ports: tuple[int, ...] = ()  # by which of them each of `listen_fds` listens
    tls_fd: int = -1  # memory of the ports' certificates (csp/tls), for who keeps or uses them
    default_port: Mapping[str, str] = field(default_factory=dict)  # as the command line states it
    shut_ports: tuple[str, ...] = ()  # what is to be told of ports that could not be bound
    # Name as in options.toml (`packet-size`), value in base units (bytes, milliseconds, count).
    options: Mapping[str, OptionValue] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """This server and run of it, as servers of one chain know each other apart."""
        return f"{self.instance}@{socket.gethostname()}#{self.started_ms}"

    def report_ready(self) -> None:
        """Tells the supervisor that this process serves."""
        _send(self.report_fd, Report.READY)

    def report_life(self) -> None:
        """Tells the supervisor, unasked, that this process works on: for waits that may be long."""
        _send(self.report_fd, Report.BEAT)

    def report_standing(self) -> None:
        """Tells the supervisor that ports are to be opened or shut: the control segment says."""
        _send(self.report_fd, Report.STANDING)

    def read_requests(self) -> list[Request]:
        """Takes what was asked and answers pings; called when `control_fd` is readable."""
        try:
            data = os.read(self.control_fd, CONTROL_READ_BYTES)
        except BlockingIOError:
            return []
        if data == b"":
            return [Request.EXIT]
        requests = [Request(bytes([byte])) for byte in data]
        if Request.PING in requests:
            _send(self.report_fd, Report.BEAT)
            for handler in logging.getLogger("csp").handlers:
                handler.flush()  # lines that a blocked output didn't take
        return [request for request in requests if request is not Request.PING]


def _send(fd: int, report: Report) -> None:
    try:
        os.write(fd, report.value)
    except (BrokenPipeError, BlockingIOError):
        # Dead: control_fd ends too, and that is acted upon. Full: the supervisor has beats to read.
        return
