"""Notes who signed in, was restored, and ended, for the master's session log.

1. A record costs a client nothing but its making: batches go to the writer once in BATCH_MS.
2. What waits is bounded by WAITING_MAX; beyond, and where no writer takes it, records are lost.
   A connection that never signed in has none.
3. Why one ended, the loop says (END_WORDS in loop/slow.pxi), or the handler that ended it.
4. A process that stops sends what waits first; one that is killed loses it.
"""

from __future__ import annotations

import logging
from typing import Any

from csp.model.sessions import END, batch_of
from csp.observe.clock import wall_ms
from csp.observe.events import log_event
from csp.process.channel.asking import Answer, Done
from csp.worker.call import Lane

BATCH_MS = 1_000
WAITING_MAX = 10_000
ENDED_HERE = "the server ended it"

log = logging.getLogger("csp.worker")


class SessionRecords:
    """Those of one worker that the writer has not got yet."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._waiting: list[tuple[Any, ...]] = []
        self._lost = 0
        self._is_soon = False

    def note(self, conn: int, what: str, why: str = "") -> None:
        """Something happened to the session of a connection."""
        if len(self._waiting) >= WAITING_MAX:
            self._lost += 1
            return
        session, state = self._lane.loop.session(conn), self._lane.states.get(conn)
        application = state.application if state is not None else ""
        self._waiting.append(
            (wall_ms(), what, why, session.id, session.account_dbid, application, session.address)
        )
        if not self._is_soon:
            self._is_soon = True
            self._lane.loop.call_later(BATCH_MS, self._send)

    def ended(self, conn: int, why: str) -> None:
        """The session of a connection is over."""
        if self._lane.loop.session(conn).authenticated:
            self.note(conn, END, why)

    def stop(self) -> None:
        """The process ends: what waits is sent, and not waited for."""
        self._send()

    def _send(self) -> None:
        self._is_soon = False
        batch, self._waiting = self._waiting, []
        lost, self._lost = self._lost, 0
        if lost:
            reason = f"{WAITING_MAX} wait already"
            log_event(log, "22138", count=lost, what="sessions", reason=reason)

        def answered(answer: Answer) -> None:
            if not isinstance(answer, Done):
                log_event(log, "22138", count=len(batch), what="sessions", reason=answer.text)

        if batch:
            records = [self._record(*one) for one in batch]
            self._lane.writer.ask("SESSIONS", batch_of(records), then=answered)

    def _record(
        self, time: int, what: str, why: str, id_: int, account: int, application: str, address: str
    ) -> dict[str, Any]:
        return {
            "time": time,
            "what": what,
            "why": why,
            "session": f"{self._lane.info.slot}-{id_}",
            "server": self._lane.info.app_name,
            "account": f"CfgPerson:{account}",
            "application": application,
            "address": address,
        }
