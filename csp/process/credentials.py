"""Reads the password for a server's master from a file, and only from a safe one.

1. Nobody but the file's owner may read it; in $CREDENTIALS_DIRECTORY, which is nobody else's, the
   group's bit may be set: the service manager gives the service its right that way.
2. A file that can't be used is said in words, with its path; a password never is.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Final

from csp.process.context import Upstream
from csp.process.files import ALL_BUT_OWNER, OTHERS, FileRefused, read_file

CREDENTIALS_VARIABLE: Final = "CREDENTIALS_DIRECTORY"  # systemd's LoadCredential=
PASSWORD_BYTES_MAX: Final = 1024  # as a new password of CFG.PASSWD
FILE_BYTES_MAX: Final = 65_536  # of which the first line counts


class PasswordFileRefused(Exception):
    """The file can't be used; the text says why and what to do."""


def read_password(path: str) -> str:
    """The password in a file: its first line. Raises PasswordFileRefused."""
    folder = os.environ.get(CREDENTIALS_VARIABLE, "")
    is_credential = bool(folder) and os.path.dirname(os.path.abspath(path)) == folder
    try:
        data = read_file(
            path,
            FILE_BYTES_MAX,
            forbidden=OTHERS if is_credential else ALL_BUT_OWNER,
            own_users=(0, os.getuid()),
        )
    except FileRefused as error:
        raise PasswordFileRefused(str(error)) from None
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
