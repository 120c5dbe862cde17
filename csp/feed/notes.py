"""Passes what this proxy's servers note of accounts on to the master, as soon as it is there.

1. One batch is under way; what the master could not take for want of a link waits for the next one.
2. What waits is bounded (csp/model/account_notes.py), and is lost with the writer.
"""

from __future__ import annotations

import logging
from typing import Final

from csp.errors import Busy, CspError, MasterDown
from csp.feed.forwards import Forwards
from csp.model.account_notes import Note, Notes, batch_of, notes_in
from csp.observe.events import log_event

AGAIN_MS: Final = 1_000  # after one that could not be taken

log = logging.getLogger("csp.feed")


class NotesUp:
    """Those that the master has not got yet."""

    def __init__(self, forwards: Forwards) -> None:
        self._forwards = forwards
        self._notes = Notes()
        self._is_under_way = False
        self._next_ms = 0

    def add(self, batch: bytes) -> None:
        """Takes a batch of a worker; ValueError where it is none."""
        self._notes.add_all(notes_in(batch))

    def tick(self, now_ms: int) -> None:
        """Sends some; called while there is a link, ten times a second."""
        if self._notes.lost:
            log_event(log, "22139", count=self._notes.lost, reason="too many wait already")
            self._notes.lost = 0
        if len(self._notes) and not self._is_under_way and now_ms >= self._next_ms:
            self._next_ms = now_ms + AGAIN_MS
            self._send(self._notes.take())

    def _send(self, some: list[Note]) -> None:
        def answered(error: CspError | None) -> None:
            self._is_under_way = False
            if isinstance(error, MasterDown | Busy):
                self._notes.add_all(some)
            elif error is not None:
                log_event(log, "22139", count=len(some), reason=error.text)

        self._is_under_way = True
        self._forwards.note_accounts(batch_of(some), answered)
