"""Stops the children in order: workers first, while the writer still answers them, then the rest.

1. Each phase has a deadline; what has not ended by then is killed.
2. A second request to stop kills at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from enum import Enum

from csp.observe.events import log_event
from csp.process.context import Request
from csp.supervisor.child import Child, ChildState

DRAIN_SECONDS_MAX = 5.0  # for the workers: replies under way, a `bye` to feeds
CLOSE_SECONDS_MAX = 5.0  # for writer and auth: a transaction under way, the database's close

log = logging.getLogger("csp.supervisor")


class Phase(Enum):
    """How far the stop has come."""

    NONE = "none"
    WORKERS = "workers"  # asked to drain
    REST = "rest"  # writer and auth asked to drain
    KILLED = "killed"  # nobody is asked any more


class Stop:
    """The course of one stop."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self._phase = Phase.NONE
        self._deadline = 0.0
        self.begun_at = 0.0
        self.exit_code = 0
        self.is_forced = False  # somebody does not want to wait

    @property
    def has_begun(self) -> bool:
        """Whether nothing is to be started any more."""
        return self._phase is not Phase.NONE

    @property
    def is_done(self) -> bool:
        """Whether every child has ended."""
        return self.has_begun and not any(child.is_running for child in self._children)

    def begin(self, reason: str, *, exit_code: int) -> None:
        """Starts to stop; a stop under way keeps its exit code."""
        if self.has_begun:
            return
        log_event(log, "51002", reason=reason)
        self.exit_code = exit_code
        self.begun_at = time.monotonic()
        self._enter(Phase.WORKERS, DRAIN_SECONDS_MAX)

    def at_once(self) -> None:
        """Kills what is left."""
        self._phase = Phase.KILLED
        for child in self._children:
            child.kill()

    def advance(self, now: float) -> None:
        """Goes to the next phase if the present one is over."""
        is_late = now >= self._deadline
        if self._phase is Phase.WORKERS and (is_late or not self._running("worker")):
            for child in self._running("worker"):
                log_event(log, "51103", role=child.name, pid=child.pid, reason="did not drain")
                child.kill()
            self._enter(Phase.REST, CLOSE_SECONDS_MAX)
        elif self._phase is Phase.REST and is_late:
            for child in self._running("writer", "auth"):
                log_event(log, "51103", role=child.name, pid=child.pid, reason="did not end")
            self.at_once()

    def deadlines(self) -> list[float]:
        """Moments at which `advance` has something to do."""
        return [self._deadline] if self._phase in (Phase.WORKERS, Phase.REST) else []

    def _running(self, *roles: str) -> list[Child]:
        return [child for child in self._children if child.is_running and child.role in roles]

    def _enter(self, phase: Phase, within_seconds: float) -> None:
        self._phase = phase
        self._deadline = time.monotonic() + within_seconds
        roles = ("worker",) if phase is Phase.WORKERS else ("writer", "auth")
        for child in self._running(*roles):
            if child.state is ChildState.READY:
                child.ask(Request.DRAIN)
            else:
                child.kill()  # serves nobody yet, and may be deep in a load
        for child in self._children:
            if not child.is_running:
                child.state = ChildState.GONE
