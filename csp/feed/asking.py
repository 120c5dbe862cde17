"""Passes the questions of this proxy's processes on to the server above, and what they note."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from csp.errors import CspError, MasterDown, ReadOnly
from csp.feed.forwards import Forwards
from csp.feed.notes import NotesUp
from csp.feed.phase import Phase
from csp.model.history import HistoryPage, HistoryQuestion
from csp.model.pairs import PairRow
from csp.model.requests import WriteOutcome
from csp.model.sessions import SessionsPage, SessionsQuestion
from csp.process.context import Upstream
from csp.process.origin import EntriesPage, Later


class Asking:
    """The part of an origin that asks; each question is answered by the root, through all above."""

    phase: Phase
    why_away: str
    _upstream: Upstream

    def __init__(self, forwards: Forwards) -> None:
        self._is_writable = False
        self._forwards = forwards
        self._notes = NotesUp(forwards)

    forwards: Final = True

    @property
    def writable(self) -> bool:
        """Whether writes are passed on."""
        return self._is_writable

    def forward(self, messages: Sequence[list[bytes]]) -> Sequence[Later[WriteOutcome]]:
        """Asks the master; what became of a write, a proxy asks also where it passes none on."""
        return self._forwards.write(messages, self._why_no_writes())

    def _why_no_writes(self) -> CspError | None:
        master = self._upstream.address
        if not self._is_writable:
            return ReadOnly(f"{ReadOnly.TEXT[:-1]}: write to its master, {master}")
        if self.phase is not Phase.FOLLOWING:  # a change could not be seen here in time
            why = self.why_away if self.phase is Phase.AWAY else self.phase.value
            return MasterDown(f"nothing was done: the link to {master}: {why}")
        return None

    def head(self) -> Later[int]:
        """Asks the master for what the root has now."""
        return self._forwards.head()

    def history(self, question: HistoryQuestion) -> Later[HistoryPage]:
        """Asks the master."""
        return self._forwards.history(question)

    def note_sessions(self, records: bytes) -> None:
        """Passes them on."""
        self._forwards.note_sessions(records)

    def note_accounts(self, notes: bytes) -> None:
        """Keeps them until the master has taken them."""
        self._notes.add(notes)

    def use_ticket(self, digest: str) -> Later[bool]:
        """Asks the one above, which asks its own: the master knows all."""
        return self._forwards.use_ticket(digest)

    def take_row(self, row: PairRow) -> Later[int]:
        """Asks the master."""
        return self._forwards.take_row(row)

    def sessions(self, question: SessionsQuestion) -> Later[SessionsPage]:
        """Asks the master."""
        return self._forwards.sessions(question)

    def entries(self, first: int) -> Later[EntriesPage]:
        """Asks the master."""
        return self._forwards.entries(first)
