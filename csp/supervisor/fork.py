"""Forks a child and makes it a process of its own: signals, descriptors, log, title.

1. The child keeps only the descriptors of its context; above all no other child's pipe ends, for
   their closing is how that child learns of the supervisor's death.
2. The child never returns into the supervisor's stack: it ends by os._exit.
3. The child dies with the supervisor, also if it hangs (PR_SET_PDEATHSIG).
4. A guarded child leaves no core and lets nobody of its user look into it, and so does the
   supervisor. What that reads of a child's progress is open before the child is guarded: /proc may
   hide it afterwards (hidepid, ProtectProc).
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import random
import resource
import signal
import sys
from collections.abc import Callable, Iterable
from typing import NamedTuple

import setproctitle

from csp.exits import EXIT_FAULT
from csp.observe.events import FAULT_EVENT, log_event, words_of
from csp.observe.log import LogSettings, start_log, stop_log
from csp.process.context import StartRefused
from csp.supervisor.signals import ignore_from_outside

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
STANDARD_FDS = frozenset({0, 1, 2})

_libc = ctypes.CDLL(None, use_errno=True)  # before the fork: a child starts sooner


class Forked(NamedTuple):
    """A child of the supervisor."""

    pid: int
    stat_fd: int  # its /proc/PID/stat, the supervisor's to close


def fork_child(
    title: str,
    process: str,
    main: Callable[[], int | None],
    keep_fds: Iterable[int],
    log_settings: LogSettings,
    *,
    is_guarded: bool,
) -> Forked:
    """Returns in the supervisor; the child runs `main` and ends with what it returns."""
    keep = STANDARD_FDS.union(keep_fds)
    parent = os.getpid()
    is_known_fd, knows_fd = os.pipe2(os.O_CLOEXEC)
    is_self_guarded = _libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1
    _libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # which a child inherits: it is to be seen first
    gc.freeze()  # a collection in the child would touch, and so copy, every page of the parent
    pid = os.fork()
    if pid:
        try:
            stat_fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            if is_self_guarded:
                guard()
        os.close(is_known_fd)
        os.close(knows_fd)
        return Forked(pid, stat_fd)
    exit_code = EXIT_FAULT
    try:
        os.close(knows_fd)
        os.read(is_known_fd, 1)  # its end: the supervisor has opened what it reads of this process
        _become_child(parent, keep)
        if is_guarded:
            guard()
        setproctitle.setproctitle(title)
        start_log(log_settings, process)
        exit_code = _run(main)
    finally:
        stop_log()
        sys.stdout.flush()
        os._exit(exit_code)


def fork_helper(
    title: str, process: str, main: Callable[[], int | None], log_settings: LogSettings
) -> int:
    """Forks a short-lived, guarded child that holds nobody up, and so is not looked after."""
    child = fork_child(title, process, main, (), log_settings, is_guarded=True)
    os.close(child.stat_fd)
    return child.pid


def _become_child(parent: int, keep: frozenset[int]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A terminal, `timeout` and service managers signal the whole group; the supervisor alone
    # answers, in order.  To end one child, SIGKILL it: its place is filled again at once.
    ignore_from_outside()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(EXIT_FAULT)
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd not in keep:
            try:
                os.close(fd)
            except OSError:
                continue  # the listing's own descriptor is closed already
    random.seed()


def guard() -> None:
    """This process leaves no core from now on, and nobody of its user may look into it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _run(main: Callable[[], int | None]) -> int:
    log = logging.getLogger("csp.supervisor")
    try:
        return main() or 0
    except StartRefused as refusal:
        log_event(log, "51011", reason=refusal)
        return refusal.exit_code
    except Exception:
        log.exception("%s", words_of("51190", doing="its main"), extra=FAULT_EVENT)
        return EXIT_FAULT
