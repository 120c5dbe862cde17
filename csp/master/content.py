"""Says whether a database holds what this master is to serve, and in words why it does not.

1. A start that finds a database without a configuration never puts it in the place of one that
   survived in memory.
2. A file is made where there is none and nothing was served yet; else its absence is an error.
"""

from __future__ import annotations

import logging

from csp import errors
from csp.exits import EXIT_NO_CONNECTION, EXIT_REFUSED, EXIT_USAGE
from csp.master.database import Database, said
from csp.master.sqlite import is_unreadable
from csp.observe.events import log_event
from csp.process.origin import StoreForOrigin

log = logging.getLogger("csp.master")


class OtherDatabase(Exception):
    """The database holds no configuration, or not the one that this master served, or it is
    another master's.
    """


def check_content(database: Database, host: StoreForOrigin) -> None:
    """Makes a new file where nothing was served yet; OtherDatabase, or FileLost, otherwise."""
    file = database.file
    is_first = not host.loaded and not host.fence
    is_made = file is not None and not host.fence and file.create()
    if file is not None and not file.take():
        raise OtherDatabase(
            f"another master works on the file {file.path}: it has one at a time; "
            f"a primary and a backup need PostgreSQL"
        )
    if is_first:
        return
    stream = database.stream()
    if stream and (stream == host.stream or not host.fence or not host.loaded):
        return
    if is_made and file is not None:
        database.close()
        file.remove()
    held = f"stream {host.stream.hex()} at revision {host.published}"
    if stream:
        raise OtherDatabase(
            f"the database holds another configuration, stream {stream.hex()}; this master "
            f"serves {held}: put it back, or restart the master to take what is there"
        )
    raise OtherDatabase(
        f"the database holds no configuration, so it would begin a new stream, and {held} "
        f"is still in memory: put the database back, or begin anew with --forget-memory"
    )


def warn_of_mode(database: Database) -> None:
    """An administrator may want it so, but should know what is in the file."""
    file = database.file
    mode = file.mode() if file is not None else 0
    if file is not None and mode & 0o077:
        log_event(log, "51344", path=file.path, mode=f"{mode:04o}")


def in_one_line(error: Exception) -> str:
    """Why it can't be served."""
    if isinstance(error, errors.CspError):
        return error.text
    if isinstance(error, OtherDatabase):
        return str(error)
    verb = "read" if is_unreadable(error) else "opened"
    return f"the database can't be {verb}: {said(error)}"


def exit_code(error: Exception) -> int:
    """With which a start ends for it."""
    if isinstance(error, OtherDatabase):
        return EXIT_REFUSED
    return EXIT_USAGE if is_unreadable(error) else EXIT_NO_CONNECTION
