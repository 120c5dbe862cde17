"""Finds a process that hangs and holds others up, and kills it: never two at a time.

1. A hung worker is killed only if it holds up others: memory that can't be reclaimed because of its
   epoch, or connections that wait in its queue.
2. A hung writer or auth process holds everybody up.
3. The next one is judged only when the killed one's successor is ready.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from csp.observe.events import log_event
from csp.process.context import Request
from csp.supervisor.child import Child, ChildState
from csp.supervisor.hang import PauseWatch
from csp.supervisor.plan import Plan

log = logging.getLogger("csp.supervisor")


class Pulses:
    """The pulses of all children."""

    def __init__(self, children: Sequence[Child], plan: Plan) -> None:
        self._children = children
        self._plan = plan
        self._pause = PauseWatch(time.monotonic())

    def tick(self, now: float) -> None:
        """Asks every ready child for a sign of life, and judges those that gave none."""
        was_paused = self._pause.was_paused(now)
        has_killed = any(
            child.is_killed_hung and child.state is not ChildState.READY for child in self._children
        )
        for child in self._children:
            if child.state is not ChildState.READY or not child.is_running:
                continue
            try:
                cpu_seconds, state = child.cpu_and_state()
            except ProcessLookupError:
                continue  # ended; SIGCHLD is under way
            if was_paused:
                child.pulse.restart_wait(now, cpu_seconds)
            elif not has_killed:
                has_killed = self._judge(child, now, cpu_seconds, state)
            child.pulse.asked(now, cpu_seconds)
            child.ask(Request.PING)

    def _judge(self, child: Child, now: float, cpu_seconds: float, state: str) -> bool:
        reason = child.pulse.why_hung(child.role.spin_seconds_max, now, cpu_seconds, state)
        held_up = self._plan.why_held_up(child) if reason else None
        child.is_killed_hung = reason is not None and held_up is not None
        if not child.is_killed_hung:
            return False
        log_event(
            log, "51103", role=child.name, pid=child.pid, reason=f"{reason}; holds up {held_up}"
        )
        child.kill()
        return True
