"""Proves ownership by locks that die with their holder: one of the writer's, one per slot.

1. They are open file description locks on bytes of the control segment beyond its size: no file of
   their own, gone with the process whatever kills it, never mistaken for another by a reused pid.
2. A process takes its lock through a descriptor of its own, opened after the fork.
"""

from __future__ import annotations

import fcntl
import os
import struct

from csp.store import segment

FIRST_BYTE = 1 << 40  # beyond any size that the segment could have
WRITER_BYTE = FIRST_BYTE - 1
_FLOCK = struct.Struct("hhqqi4x")  # l_type, l_whence, l_start, l_len, l_pid


class LockHeld(Exception):
    """Another process holds the lock."""


class Lock:
    """A lock that is held until `release` or the process's end."""

    def __init__(self, instance: str, byte: int) -> None:
        self._fd = segment.open_control(instance)
        if not lock_byte(self._fd, byte):
            os.close(self._fd)
            raise LockHeld(f"the lock {_words(byte)} of {instance} is held")

    def release(self) -> None:
        """Gives the lock up."""
        os.close(self._fd)


def lock_byte(fd: int, byte: int) -> bool:
    """Locks one byte of a file until the descriptor is closed; False where another has it."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _request(fcntl.F_WRLCK, byte))
    except (BlockingIOError, PermissionError):
        return False
    return True


def take_writer(instance: str) -> Lock:
    """The right to change the store; raises LockHeld."""
    return Lock(instance, WRITER_BYTE)


def take_slot(instance: str, slot: int) -> Lock:
    """The right to a slot of the control segment; raises LockHeld."""
    return Lock(instance, FIRST_BYTE + slot)


def is_writer_free(control_fd: int) -> bool:
    """Whether nobody is the writer."""
    return _is_free(control_fd, WRITER_BYTE)


def is_slot_free(control_fd: int, slot: int) -> bool:
    """Whether nobody has the slot."""
    return _is_free(control_fd, FIRST_BYTE + slot)


def _is_free(control_fd: int, byte: int) -> bool:
    answer = fcntl.fcntl(control_fd, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK, byte))
    return int(_FLOCK.unpack(answer)[0]) == fcntl.F_UNLCK


def _request(kind: int, byte: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0)


def _words(byte: int) -> str:
    return "of the writer" if byte == WRITER_BYTE else f"of slot {byte - FIRST_BYTE}"
