"""Hands over to the other one of the pair when this server begins to drain.

1. It does so at once and once a drain: clients go where it says over the drain's time, and find
   that one serving. Until it is over this one serves on (csp/supervisor/plan.py).
2. Where that can't be done this server drains all the same, as a single one does.
"""

from __future__ import annotations

import logging
from typing import Protocol

from csp.errors import CspError
from csp.observe.events import log_event
from csp.process import drain
from csp.process.origin import Later
from csp.process.standing import ROLE_SINGLE

log = logging.getLogger("csp.writer")


class Shown(drain.Draining, Protocol):
    """The control segment."""

    role: int
    serving: bool


class Switching(Protocol):
    """Who can have the other one take over."""

    def switch_over(self) -> Later[None] | None: ...


class HandOver:
    """What was done of the drain that is under way."""

    def __init__(self, shown: Shown, origin: Switching) -> None:
        self._shown = shown
        self._origin = origin
        self._seen = shown.drain()[0]  # a predecessor has seen to that one

    def tick(self) -> None:
        """Hands over, where a drain has begun since the last time."""
        begun_ms = self._shown.drain()[0]
        if begun_ms == self._seen:
            return
        self._seen = begun_ms
        if not begun_ms or not self._shown.serving or self._shown.role == ROLE_SINGLE:
            return
        try:
            later = self._origin.switch_over()
        except CspError as error:
            self._done(error)
            return
        if later is not None:
            later.then(self._done)

    def _done(self, outcome: Exception | None) -> None:
        if outcome is not None:
            log_event(log, "51045", reason=outcome)
