"""Looks for a lost database on a thread of its own, so that the writer never waits for it.

1. The thread only connects and asks for the head; everything else is done by the writer's loop.
2. It asks again after a growing pause, and hands over at most one connection.
3. Its end is not waited for: it holds nothing that outlives the process.
"""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from csp.errors import CspError
from csp.master.database import Database, Head, said

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0


class Found(NamedTuple):
    """The database is back: a connection for writing, and the head as it is now."""

    connection: Connection
    head: Head | None


class Outage:
    """One time without the database, from its loss to a connection."""

    def __init__(self, database: Database) -> None:
        self.why = ""  # of the newest attempt, once one has failed
        self._database = database
        self._ended = threading.Event()
        self._found: Found | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self.look_on()

    def look_on(self) -> None:
        """Looks for it, at first or because what was found is of no use."""
        threading.Thread(target=self._look, name="outage", daemon=True).start()

    def found(self) -> Found | None:
        """The new connection, once there is one; the caller owns it then."""
        found, self._found = self._found, None
        return found

    def give_up(self) -> None:
        """Looks no more; a connection that is on its way is closed."""
        self._ended.set()
        found = self.found()
        if found is not None:
            found.connection.close()

    def _look(self) -> None:
        while not self._ended.wait(self._pause):
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            try:
                found = Found(*self._database.connect())
            except SQLAlchemyError as error:
                self.why = said(error)
                continue
            except CspError as error:
                self.why = error.text
                continue
            if self._ended.is_set():
                found.connection.close()
            else:
                self._found = found
            return
