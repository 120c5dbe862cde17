"""Reads a small file that a setting names, without waiting for it or trusting its size; writes one.

1. A pipe, a device or a folder is refused, and none is waited for.
2. What is read is never shown; what is wrong is said in words, with the path.
3. What is written is there whole, or as it was before.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

OTHERS: Final = 0o007  # bits of a mode: whoever is neither the owner nor in the file's group
ALL_BUT_OWNER: Final = 0o077


class FileRefused(ValueError):
    """The file can't be used; the text says why and what to do."""


def read_file(
    path: str, bytes_max: int, *, forbidden: int = 0, own_users: tuple[int, ...] = ()
) -> bytes:
    """What the file holds, `bytes_max` at most. Raises FileRefused.

    `forbidden` are bits that its mode may not have; `own_users`, if given, whose it may be.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FileRefused(f"{path} can't be read: {error.strerror}") from None
    try:
        _check(path, os.fstat(fd), forbidden, own_users)
        found = b""
        while data := os.read(fd, bytes_max + 1 - len(found)):
            found += data
    except OSError as error:
        raise FileRefused(f"{path} can't be read: {error.strerror}") from None
    finally:
        os.close(fd)
    if len(found) > bytes_max:
        raise FileRefused(f"{path} has more than {bytes_max} bytes")
    return found


def write_whole(file: Path, text: str) -> None:
    """Writes a text down, whole or not at all. Raises OSError."""
    draft = file.with_suffix(".new")
    draft.write_text(text)
    draft.replace(file)


def _check(path: str, state: os.stat_result, forbidden: int, own_users: tuple[int, ...]) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise FileRefused(f"{path} is no file")
    if own_users and state.st_uid not in own_users:
        raise FileRefused(f"{path} belongs to another user (uid {state.st_uid})")
    mode = stat.S_IMODE(state.st_mode)
    if mode & forbidden:
        how = "chmod 600" if forbidden == ALL_BUT_OWNER else "chmod o="
        raise FileRefused(f"{path} has mode {mode:04o}, others may use it: {how} {path}")
