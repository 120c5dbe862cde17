"""Stops the children in order: who serves clients first, while the others still answer it.

1. Each phase has a deadline; what has not ended by then is killed.
2. A second request to stop kills at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from csp.observe.events import log_event
from csp.process.context import Request
from csp.process.roles import Phase
from csp.supervisor.child import Child, ChildState

log = logging.getLogger("csp.supervisor")


class Stop:
    """The course of one stop: the phases of the roles, one after the other."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self._left: list[Phase] = []
        self._phase: Phase | None = None
        self._deadline = 0.0
        self.has_begun = False  # nothing is to be started any more
        self.begun_at = 0.0
        self.exit_code = 0
        self.is_forced = False  # somebody does not want to wait

    @property
    def is_done(self) -> bool:
        """Whether every child has ended."""
        return self.has_begun and not any(child.is_running for child in self._children)

    def begin(self, reason: str, *, exit_code: int) -> None:
        """Starts to stop; a stop under way keeps its exit code."""
        if self.has_begun:
            return
        log_event(log, "51002", reason=reason)
        self.has_begun = True
        self._left = sorted({child.role.phase for child in self._children})
        self.exit_code = exit_code
        self.begun_at = time.monotonic()
        self._enter()

    def at_once(self) -> None:
        """Kills what is left."""
        self._left, self._phase = [], None
        for child in self._children:
            child.kill()

    def advance(self, now: float) -> None:
        """Goes to the next phase if the present one is over."""
        while self._phase is not None and (now >= self._deadline or not self._running()):
            for child in self._running():
                log_event(log, "51103", role=child.name, pid=child.pid, reason="did not end")
                child.kill()
            self._enter()

    def deadlines(self) -> list[float]:
        """Moments at which `advance` has something to do."""
        return [self._deadline] if self._phase is not None else []

    def _running(self) -> list[Child]:
        """Those of this phase that have not ended."""
        phase = self._phase
        return [child for child in self._children if child.is_running and child.role.phase == phase]

    def _enter(self) -> None:
        self._phase = self._left.pop(0) if self._left else None
        if self._phase is None:
            return
        self._deadline = time.monotonic() + self._phase.seconds_max
        for child in self._running():
            if child.state is ChildState.READY:
                child.ask(Request.LEAVE)
                child.ask(Request.DRAIN)
            else:
                child.kill()  # serves nobody yet, and may be deep in a load
        for child in self._children:
            if not child.is_running:
                child.state = ChildState.GONE
