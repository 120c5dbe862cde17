"""Writes log lines to a terminal, pipe, socket or file without ever waiting for it.

1. No call here blocks: what the output doesn't take now stays in a bounded buffer.
2. What doesn't fit the buffer is dropped, whole lines only, and counted.
3. The flags of a descriptor that other programs share (the terminal) are left as they are.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections import deque

BUFFER_BYTES_MAX = 256 * 1024  # some 2,000 lines: a terminal stopped for a moment loses nothing
REOPEN_SECONDS = 1.0  # how often a log file's name is compared with what is open (rotation)
WRITE_BYTES_MAX = 4096  # PIPE_BUF: a pipe that polls writable takes this much whole


class Output:
    """One place where log lines go: a file by name, or an open descriptor."""

    def __init__(self, *, path: str | None = None, fd: int = 2) -> None:
        self._path = path
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_partly_sent = False
        self._checked_at = 0.0
        self._socket: socket.socket | None = None
        self._must_poll = False
        self.dropped = 0
        self._fd = _open_file(path) if path else self._open_like(fd)

    def write(self, line: bytes) -> None:
        """Takes one whole line; sends what can be sent now."""
        if self._waiting_bytes + len(line) > BUFFER_BYTES_MAX:
            self.flush()
        if self._waiting_bytes + len(line) > BUFFER_BYTES_MAX:
            self.dropped += 1
            return
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        self.flush()

    def flush(self) -> None:
        """Sends what the output takes now."""
        if self._path:
            self._follow_rotation()
        while self._waiting:
            line = self._waiting[0]
            sent = self._send(line[:WRITE_BYTES_MAX])
            if sent < 0:
                return
            self._waiting_bytes -= sent
            self._is_partly_sent = sent < len(line)
            if self._is_partly_sent:
                self._waiting[0] = line[sent:]
            else:
                self._waiting.popleft()

    def close(self, *, within_seconds: float) -> None:
        """Sends what is left, but waits no longer than said."""
        end = time.monotonic() + within_seconds
        self.flush()
        while self._waiting and time.monotonic() < end:
            select.select([], [self._fd], [], max(0.0, end - time.monotonic()))
            before = self._waiting_bytes
            self.flush()
            if self._waiting_bytes == before:
                return

    def _send(self, data: bytes) -> int:
        """Bytes taken, or -1 if the output takes nothing now."""
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT)
            if self._must_poll and not select.select([], [self._fd], [], 0)[1]:
                return -1
            return os.write(self._fd, data)
        except BlockingIOError:
            return -1
        except OSError:
            # A full disk or a closed pipe: this line is lost and counted, the server goes on.
            self._drop_first()
            return -1

    def _drop_first(self) -> None:
        line = self._waiting.popleft()
        self._waiting_bytes -= len(line)
        self.dropped += 1

    def _open_like(self, fd: int) -> int:
        """A descriptor of our own for what `fd` leads to, non-blocking where that can be had."""
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(fd))
            return self._socket.fileno()
        try:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
            return os.open(f"/proc/self/fd/{fd}", flags)
        except OSError:
            # A terminal of another user can't be opened again.
            self._must_poll = True
            return os.dup(fd)

    def _follow_rotation(self) -> None:
        now = time.monotonic()
        if now - self._checked_at < REOPEN_SECONDS or self._is_partly_sent or not self._path:
            return
        self._checked_at = now
        opened = os.fstat(self._fd)
        try:
            named = os.stat(self._path)
            if (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino):
                return
        except FileNotFoundError:
            pass
        try:
            fd = _open_file(self._path)
        except OSError:
            return  # the folder is gone or full; what is open still serves
        os.close(self._fd)
        self._fd = fd


def _open_file(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    return os.open(path, flags, 0o640)
