"""The process of a backend: takes auth's questions, lets threads ask directories, answers.

1. It knows nothing of the store: what a question needs comes with it.
2. Where its package is missing it serves nevertheless: every answer says which package that is.
3. The main thread alone touches sockets, and never waits for a directory.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from csp._fastpath import Control
from csp.errors import Busy
from csp.external.backend import Backend, Unusable, Verdict
from csp.external.directories import TOO_MANY, Directories
from csp.external.questions import Question, words_of_verdict
from csp.observe.events import log_event
from csp.observe.log import LEVELS, set_level
from csp.process.channel.answering import Answerer, Message, Peer
from csp.process.channel.framing import BACKEND_LIMITS
from csp.process.context import ProcessContext, Request
from csp.process.polling import READ, Descriptor, Poller
from csp.store import locks, segment

POLL_SECONDS = 0.2  # how soon an overdue question is answered

ENDS = (Request.DRAIN, Request.EXIT)

log = logging.getLogger("csp.external")


def run_backend(context: ProcessContext, opened: Callable[[], Backend]) -> None:
    """Serves until asked to end; `opened` imports what the backend needs, or raises Unusable."""
    BackendProcess(context, opened).run()


class BackendProcess:
    """The loop of one backend's process."""

    def __init__(self, context: ProcessContext, opened: Callable[[], Backend]) -> None:
        self._context = context
        self._control = Control(segment.open_control(context.instance))
        self._lock = locks.take_slot(context.instance, context.slot)
        self._control.claim_slot(context.slot, os.getpid())
        self._log_level = 0
        self._directories = Directories(_tried(opened))
        self._poller = Poller()
        self._own_descriptors = (
            Descriptor(context.control_fd, READ, self._take_requests),
            Descriptor(self._directories.done_fd, READ, self._directories.take_done),
        )
        self._channel = Answerer(context.channel_fd, BACKEND_LIMITS, ask=self._take, log=log)
        self._is_ended = False

    def run(self) -> None:
        """Turns until asked to end: who asked and has no answer asks the successor."""
        self._context.report_ready()
        while not self._is_ended:
            descriptors = [*self._own_descriptors, *self._channel.descriptors()]
            self._poller.wait(descriptors, POLL_SECONDS)
            self._directories.tick()
            self._channel.flush()
            self._take_log_level()
        self._channel.close()
        self._poller.close()

    def _take(self, peer: Peer, message: Message) -> None:
        try:
            question = Question.read(message)
        except ValueError as error:
            log_event(log, "51191", question=repr(message[:1]))
            peer.fail(message[1], f"ERR {error}")
            return

        def answer(verdict: Verdict) -> None:
            peer.done(question.number, *words_of_verdict(verdict))

        if not self._directories.ask(question, answer):
            peer.fail(question.number, Busy(TOO_MANY).line)

    def _take_requests(self) -> None:
        asked = self._context.read_requests()
        self._is_ended = self._is_ended or any(one in ENDS for one in asked)

    def _take_log_level(self) -> None:
        """The level that the Application states, as the writer shows it."""
        place = self._control.log_level
        if place != self._log_level:
            self._log_level = place
            set_level(list(LEVELS)[place - 1] if place else "")


def _tried(opened: Callable[[], Backend]) -> Callable[[], Backend]:
    """The backend, opened now; where it can't be, who asks for it hears why."""
    try:
        backend = opened()
    except Unusable as why:
        words = str(why)

        def refuse() -> Backend:
            raise Unusable(words)

        return refuse
    return lambda: backend
