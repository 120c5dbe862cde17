"""The reading process: turns, takes the workers' questions to the database, and works them out.

1. It writes nothing, and nobody who writes waits for it.
2. A question lost with it is asked again by whoever still wants to know.
3. What it needs for the database it imports with the first question: most masters are asked none
   for hours, and every start would wait for it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from csp._fastpath import Control
from csp.errors import MasterDown
from csp.process.channel.answering import Answerer, Message, Peer
from csp.process.channel.framing import READING_LIMITS
from csp.process.context import ProcessContext, Request
from csp.process.polling import READ, Descriptor, Poller
from csp.process.records import Records
from csp.reading.questions import Questions
from csp.store import locks, segment
from csp.store.control import LINK_DOWN
from csp.tables.metrics import PLACES

POLL_SECONDS = 1.0
NOT_THERE = MasterDown("the database is not there, or another's: CFG.STATUS has the alarm")
ENDS = (Request.DRAIN, Request.EXIT)

log = logging.getLogger("csp.reading")


def run_reading(context: ProcessContext, records: Callable[[], Records]) -> None:
    """Serves until asked to drain; `records` opens the database."""
    ReadingProcess(context, records).run()


class ReadingProcess:
    """The loop of the reading process."""

    def __init__(self, context: ProcessContext, records: Callable[[], Records]) -> None:
        self._context = context
        self._open = records
        self._records: Records | None = None
        self._control = Control(segment.open_control(context.instance))
        self._lock = locks.take_slot(context.instance, context.slot)
        self._control.claim_slot(context.slot, os.getpid())
        self._questions = Questions(self._opened, self.count)
        self._poller = Poller()
        self._requests = Descriptor(context.control_fd, READ, self._take_requests)
        self._channel = Answerer(
            context.channel_fd,
            READING_LIMITS,
            ask=self._take,
            left=self._questions.forget,
            log=log,
        )
        self._is_ended = False

    def run(self) -> None:
        """Turns until drained."""
        self._context.report_ready()
        while not self._is_ended:
            patience = 0.0 if self._questions else POLL_SECONDS
            self._poller.wait([self._requests, *self._channel.descriptors()], patience)
            if self._records is not None:
                self._records.turn()
            self._questions.step()
            if self._records is not None and not self._questions:
                self._records.rest()
            self._channel.flush()
        if self._records is not None:
            self._records.close()
        self._channel.close()
        self._poller.close()

    def _opened(self) -> Records:
        """The database, opened when the first question comes."""
        if self._records is None:
            self._records = self._open()
        return self._records

    def _take(self, peer: Peer, message: Message) -> None:
        # Whether the database is the one that this master serves, its writer knows.
        if self._control.link()[0] == LINK_DOWN:
            peer.fail(message[1], NOT_THERE.line)
        else:
            self._questions.take(peer, message)

    def _take_requests(self) -> None:
        asked = self._context.read_requests()
        self._is_ended = self._is_ended or any(one in ENDS for one in asked)

    def count(self, metric: str) -> None:
        """Adds one to a metric of this process."""
        self._control.count(self._context.slot, PLACES[metric])
