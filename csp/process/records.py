"""Says what the reading process asks of the database: figures and pages that no write waits for.

1. Each is worked out in steps of some 10 ms, yielding None after each and the result last.
2. What the database refuses, or does not answer, is a CspError in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from csp.model.history import HistoryPage, HistoryQuestion
    from csp.model.sessions import SessionsPage, SessionsQuestion
    from csp.process.origin import EntriesPage, Sums


class Records(Protocol):
    """The master's database, as who only reads sees it."""

    def turn(self) -> None:
        """The loop turned: the supervisor was answered."""

    def sums(self, class_id: int | None, low: int, high: int) -> Iterator[Sums | None]:
        """Sums of the records, DBIDs low to high inclusive, of one class or of all, all at one
        revision.
        """

    def history(self, question: HistoryQuestion) -> Iterator[HistoryPage | None]:
        """A page of change records."""

    def entries(self, first: int) -> Iterator[EntriesPage | None]:
        """A page of the log that the master keeps, from revision `first` on."""

    def sessions(self, question: SessionsQuestion) -> Iterator[SessionsPage | None]:
        """A page of records of sessions."""

    def rest(self) -> None:
        """Nothing is asked now: no connection is kept, so that the writer's are the last ones."""

    def close(self) -> None:
        """Ends for good."""
