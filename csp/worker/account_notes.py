"""Passes on what sign-ins here are news of to other servers: locks, last sign-ins, better hashes.

1. No sign-in waits for it: notes go to the writer together, once in BATCH_MS.
2. What the writer could not take is told again; what waits is bounded (csp/model/account_notes.py),
   and what is lost for that is told by event 22139.
"""

from __future__ import annotations

import logging
from typing import Any

from csp.model.account_notes import Notes, batch_of
from csp.observe.events import log_event
from csp.process.channel.asking import Absent, Answer, Broken
from csp.worker.call import Lane

BATCH_MS = 1_000

log = logging.getLogger("csp.worker")


class AccountNotes:
    """Those of one worker that the writer has not got yet."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._waiting = Notes()
        self._is_soon = False

    def add(self, note: dict[str, Any]) -> None:
        """Something of an account is news to others."""
        self._waiting.add(note)
        self._soon()

    def _soon(self) -> None:
        if not self._is_soon and len(self._waiting):
            self._is_soon = True
            self._lane.loop.call_later(BATCH_MS, self._send)

    def _send(self) -> None:
        self._is_soon = False
        if self._waiting.lost:
            log_event(log, "22139", count=self._waiting.lost, reason="too many wait already")
            self._waiting.lost = 0
        batch = self._waiting.take()

        def answered(answer: Answer) -> None:
            if isinstance(answer, Absent | Broken):  # what was done twice is done once
                self._waiting.add_all(batch)
                self._soon()

        if batch:
            self._lane.writer.ask("ACCOUNTS", batch_of(batch), then=answered)
        self._soon()
