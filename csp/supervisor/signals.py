"""Queues signals for the supervisor's loop: a handler does nothing but leave its number."""

from __future__ import annotations

import os
import signal
from types import FrameType

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
READ_BYTES = 256


class SignalQueue:
    """Numbers of the signals that came, readable on `fd`."""

    def __init__(self) -> None:
        self.fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, _queue)

    def take(self) -> list[signal.Signals]:
        """What came since the last call, in order."""
        try:
            return [signal.Signals(number) for number in os.read(self.fd, READ_BYTES)]
        except BlockingIOError:
            return []


def _queue(number: int, frame: FrameType | None) -> None:
    """The interpreter has written the number to the pipe already."""
