"""Reads the password for a server's master from a file, and only from a safe one.

1. Nobody but the file's owner may read it; in $CREDENTIALS_DIRECTORY, which is nobody else's, the
   group's bit may be set: the service manager gives the service its right that way.
2. A file that can't be used is said in words, with its path; a password never is.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from typing import Final

from csp.process.context import Upstream

CREDENTIALS_VARIABLE: Final = "CREDENTIALS_DIRECTORY"  # systemd's LoadCredential=
PASSWORD_BYTES_MAX: Final = 1024  # as a new password of CFG.PASSWD


class PasswordFileRefused(Exception):
    """The file can't be used; the text says why and what to do."""


def read_password(path: str) -> str:
    """The password in a file: its first line. Raises PasswordFileRefused."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise PasswordFileRefused(f"{path} can't be read: {error.strerror}") from None
    try:
        state = os.fstat(fd)
        _check(path, state)
        data = os.read(fd, PASSWORD_BYTES_MAX + 2)
    except OSError as error:
        raise PasswordFileRefused(f"{path} can't be read: {error.strerror}") from None
    finally:
        os.close(fd)
    line = data.split(b"\n", 1)[0].removesuffix(b"\r")
    if not line or b"\0" in line:
        raise PasswordFileRefused(f"{path} holds no password in its first line")
    if len(line) > PASSWORD_BYTES_MAX:
        raise PasswordFileRefused(f"{path}: its first line is longer than a password may be")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise PasswordFileRefused(f"{path} is not UTF-8") from None


def renewed(upstream: Upstream) -> Upstream:
    """The master with the password that its file holds now. Raises PasswordFileRefused."""
    if not upstream.password_file:
        return upstream
    return dataclasses.replace(upstream, password=read_password(upstream.password_file))


def _check(path: str, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise PasswordFileRefused(f"{path} is no file")
    if state.st_uid not in (0, os.getuid()):
        raise PasswordFileRefused(f"{path} belongs to another user (uid {state.st_uid})")
    folder = os.environ.get(CREDENTIALS_VARIABLE, "")
    is_credential = bool(folder) and os.path.dirname(os.path.abspath(path)) == folder
    others = 0o007 if is_credential else 0o077
    mode = stat.S_IMODE(state.st_mode)
    if mode & others:
        raise PasswordFileRefused(
            f"{path} has mode {mode:04o}, others may use it: chmod 600 {path}"
        )
