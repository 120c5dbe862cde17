"""Queues signals for the supervisor's loop: a handler does nothing but leave its number.

1. Only SIGKILL, a stop of the process (SIGSTOP, ^Z) and its own faults end or hold it by
   themselves; every other signal is answered by the loop, and named in the log.
2. A child answers none of them: they often come to a whole group, and the supervisor alone acts.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
RELOADING: Final = (signal.SIGHUP,)
REOPENING: Final = (signal.SIGUSR1, signal.SIGUSR2)  # what log rotations send
# A fault of the process itself, or what can't or needn't be caught.
LEFT: Final = frozenset(
    {
        *(signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
        *(signal.SIGCONT, signal.SIGPIPE, signal.SIGWINCH, signal.SIGURG),
        signal.SIGXFSZ,  # Python ignores it: a write fails with words, the log's own too
        *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT),
        *(signal.SIGSYS, signal.SIGTRAP),
    }
)
# What comes from outside and would end a process that has no handler for it.
FROM_OUTSIDE: Final = tuple(
    number for number in signal.valid_signals() if number not in {*LEFT, signal.SIGCHLD}
)
READ_BYTES = 256


@contextmanager
def stops_put_off() -> Iterator[None]:
    """A signal that stops comes behind this: for what must be done whole, and takes no time."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class SignalQueue:
    """Numbers of the signals that came, readable on `fd`."""

    def __init__(self) -> None:
        self.fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in (*FROM_OUTSIDE, signal.SIGCHLD):
            signal.signal(number, _queue)

    def take(self) -> list[int]:
        """What came since the last call, in order."""
        try:
            return list(os.read(self.fd, READ_BYTES))
        except BlockingIOError:
            return []


def ignore_from_outside() -> None:
    """Before there is a loop, and in children: none of them ends this process."""
    for number in FROM_OUTSIDE:
        signal.signal(number, signal.SIG_IGN)


def name_of(number: int) -> str:
    """A signal's name; those for real time have a number alone."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _queue(number: int, frame: FrameType | None) -> None:
    """The interpreter has written the number to the pipe already."""
