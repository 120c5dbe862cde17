"""Shows the password that was made for the first account of a new database, to its owner alone."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Final

from csp import errors
from csp.master.dialect import file_beside
from csp.observe.events import log_event

VARIABLE: Final = "CSP_DEFAULT_PASSWORD"
FILE: Final = "default-password"

log = logging.getLogger("csp.master")


def tell_password(password: str, address: str) -> None:
    """Shows a generated password once: on the terminal, else in a file for the owner alone."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\nThe account 'default' has the password {password}\n"
                         f"It is shown this once.\n\n")  # fmt: skip
        sys.stderr.flush()
        return
    path = file_beside(address, FILE)
    try:
        # Never into a file that is there: others may have it open, and a link leads elsewhere.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(password + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise errors.BadValue(
            f"the password of the account 'default' can't be written to {path}: {error.strerror}; "
            f"give one with {VARIABLE}"
        ) from error
    log_event(log, "51345", path=path)
