"""The database as the reading process asks it: sums, history and pages of the log.

1. Nothing is written, no fence is taken: however many look, the master stays who it is.
2. Between questions no connection is open: the last one that SQLite closes saves what a lost WAL
   has, and that is to be the writer's.
3. A database that was lost is opened anew for the next question; only the writer raises alarms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from csp.master.database import Database, in_words
from csp.master.entries import entries_page
from csp.master.history import history_page
from csp.master.session_log import sessions_page
from csp.master.sums import Summer
from csp.model.history import HistoryPage, HistoryQuestion
from csp.model.sessions import SessionsPage, SessionsQuestion
from csp.process.context import ProcessContext
from csp.process.origin import EntriesPage, Sums


class DatabaseRecords:
    """What is asked of a master's database beside the writes."""

    def __init__(self, address: str, sign: Callable[[], None]) -> None:
        """`sign` tells the supervisor that this process lives, while the database works."""
        self._address = address
        self._sign = sign
        self._database = self._opened()
        self._is_open = False

    @classmethod
    def of_server(cls, context: ProcessContext) -> DatabaseRecords:
        """Those of the server that this process belongs to."""
        return cls(context.database_url, context.report_life)

    def turn(self) -> None:
        self._database.turn.begin()

    def sums(self, class_id: int | None, low: int, high: int) -> Iterator[Sums | None]:
        with in_words():
            yield from Summer(self._there()).run(class_id, low, high)

    def history(self, question: HistoryQuestion) -> Iterator[HistoryPage | None]:
        with in_words():
            yield from history_page(self._there(), question)

    def entries(self, first: int) -> Iterator[EntriesPage | None]:
        with in_words():
            yield entries_page(self._there().reader, first)

    def sessions(self, question: SessionsQuestion) -> Iterator[SessionsPage | None]:
        with in_words():
            yield sessions_page(self._there().reader, question)

    def rest(self) -> None:
        if self._is_open:
            self._is_open = False
            self._database.close()

    def close(self) -> None:
        self.rest()

    def _there(self) -> Database:
        """The database, opened anew where it was lost; MasterDown where it is not there."""
        self._is_open = True
        self._database.look_at_file()
        if self._database.lost:
            self._database.close()
            self._database = self._opened()
        self._database.check_there()
        return self._database

    def _opened(self) -> Database:
        database = Database(self._address)
        database.turn.sign = self._sign
        return database
