"""One child as the supervisor sees it: its state, its two pipes, its pulse."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from csp.process.context import Report, Request
from csp.process.roles import Role
from csp.supervisor.hang import Pulse
from csp.supervisor.restart import RestartPolicy

REPORT_READ_BYTES = 64
STAT_READ_BYTES = 1024  # some fifty numbers and a name of 16 bytes
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class ChildState(Enum):
    """Where a child is in its life."""

    RESTING = "resting"  # not running, and not to: nobody has asked for it yet
    WAITING = "waiting"  # not running; starts when its time has come and its lock is free
    STARTING = "starting"  # forked, has not reported ready
    READY = "ready"
    GONE = "gone"  # not running and not to be started again


@dataclass
class Child:
    """A place in the server that a process fills, one life after the other."""

    role: Role
    slot: int
    name: str  # `writer`, `auth`, `worker 0`: in the title, the log and the status
    state: ChildState = ChildState.WAITING
    pid: int = 0
    start_at: float = 0.0  # monotonic seconds
    started_at: float = 0.0
    control_fd: int = -1
    report_fd: int = -1
    stat_fd: int = -1  # its /proc/PID/stat
    is_killed_hung: bool = False
    replaced_for: str = ""  # why it was asked to drain for a successor
    waits_for_lock: bool = False
    last_death: str = ""  # in words
    pulse: Pulse = field(default_factory=Pulse)
    policy: RestartPolicy = field(default_factory=RestartPolicy)

    @property
    def is_missing(self) -> bool:
        """Whether the server does not serve as it should until it is ready."""
        return self.state not in (ChildState.READY, ChildState.RESTING)

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self.pid != 0

    def open_pipes(self) -> tuple[int, int]:
        """New pipes for a new life; returns the child's ends (control, report)."""
        control_read, self.control_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.report_fd, report_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        return control_read, report_write

    def close_pipes(self) -> None:
        """Forgets the pipes of a life that is over, and where its progress stood."""
        for fd in (self.control_fd, self.report_fd, self.stat_fd):
            if fd >= 0:
                os.close(fd)
        self.control_fd = self.report_fd = self.stat_fd = -1

    def ask(self, request: Request) -> None:
        """Sends a request; a child too deaf to take it is found by its pulse."""
        try:
            os.write(self.control_fd, request.value)
        except (BlockingIOError, BrokenPipeError):
            return

    def replace(self, reason: str) -> None:
        """Asks the process to drain, so that a successor begins anew for the reason."""
        if self.is_running:
            self.replaced_for = reason
            self.state = ChildState.STARTING  # the server is ready when the next one is
            self.ask(Request.DRAIN)

    def take_reports(
        self, on_ready: Callable[[Child], None], on_standing: Callable[[], None]
    ) -> None:
        """Reads what the child reports."""
        try:
            data = os.read(self.report_fd, REPORT_READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            return  # it is about to end: SIGCHLD follows
        self.pulse.answered()
        if Report.STANDING.value in data:
            on_standing()
        if Report.READY.value in data and self.state is ChildState.STARTING:
            self.state = ChildState.READY
            on_ready(self)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends a signal, if there is a process (ours: not yet waited for)."""
        if self.pid:
            os.kill(self.pid, number)

    def cpu_and_state(self) -> tuple[float, str]:
        """Processor seconds used, and the state letter; ProcessLookupError once it is gone."""
        stat = os.pread(self.stat_fd, STAT_READ_BYTES, 0)
        after_name = stat.rpartition(b")")[2].decode().split()
        return (int(after_name[11]) + int(after_name[12])) / CLOCK_TICKS, after_name[0]


def death_reason(status: int) -> str:
    """The words for a wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit {code}"
    return f"signal {signal.Signals(-code).name}"
