"""Runs the writer: workers' messages, the origin's descriptors and the clock, in one loop.

1. Nothing here waits but the one poll; store and database work a few milliseconds at a time.
2. Writes are taken from the clients in turn and handed to the origin as a group (writes.py).
3. The writer serves no client: its death delays changes and nothing else.
4. It ends at once when the supervisor is dead; what it had published stays.
"""

from __future__ import annotations

import logging
import os
import socket

from csp._fastpath import StoreCorrupt, StoreFull
from csp.exits import EXIT_LIMITS, EXIT_USAGE
from csp.observe import failpoint
from csp.observe.clock import monotonic_ms, wall_ms
from csp.observe.events import log_event
from csp.process.channel.answering import Answerer, Message, Peer
from csp.process.channel.framing import WRITER_LIMITS
from csp.process.context import ProcessContext, Request, StartRefused
from csp.process.origin import AnyOrigin
from csp.process.polling import READ, Descriptor, Poller
from csp.store import segment
from csp.store.alarms import ALARM_DAMAGED
from csp.store.host import StoreHost
from csp.writer.alarms import HeldAlarm, LevelAlarms, StoreAlarm
from csp.writer.answers import Answers
from csp.writer.hand_over import HandOver
from csp.writer.own_options import Following
from csp.writer.own_pair import OwnPair
from csp.writer.registry import Registry, itself
from csp.writer.scrubber import Scrubber
from csp.writer.writes import VERBS, Writes

TICK_MS = 100  # the clock of reclaiming, alarms and the origin
WALK_MS = 5  # of a successor's walk in one turn: a change waits no longer for it

log = logging.getLogger("csp.writer")


class Writer:
    """The loop of one writer process."""

    def __init__(self, context: ProcessContext, host: StoreHost, origin: AnyOrigin) -> None:
        self._context = context
        self._host = host
        self._origin = origin
        own = itself(context.app_name, socket.gethostname(), os.getppid(), wall_ms())
        self._registry = Registry(own)
        self._answers = Answers(origin, self._registry, context.identity)
        self._alarm = StoreAlarm(host.control, host)
        self._held = HeldAlarm(host.control, host)
        self._levels = LevelAlarms(host.control, host)
        self._options = Following(context, host, host.control, origin)
        self._own_pair = OwnPair(context, host, host.control, origin)
        self._hand_over = HandOver(host.control, origin)
        self._scrubber = Scrubber(host, self._options.options)
        self._writes = Writes(origin, host)
        self._options.options.on_change(self._writes.take_options)
        self._poller = Poller()
        self._control = Descriptor(context.control_fd, READ, self._take_requests)
        self._channel = Answerer(
            context.channel_fd,
            WRITER_LIMITS,
            ask=self._take,
            joined=self._writes.join,
            left=self._left,
            log=log,
        )
        self._next_tick_ms = 0
        self._has_walk = True  # until the store says that it is over
        self._is_ready = False
        self._is_draining = False
        self._is_ended = False

    def run(self) -> None:
        """Serves until asked to end."""
        self._origin.start(self._host)
        while not self._is_ended:
            self._report_ready()
            self._poller.wait(self._descriptors(), self._patience_s())
            self._writes.write_group()
            self._answers.tell_present(monotonic_ms())
            self._channel.flush()
            self._writes.settle()
            self._walk()
            self._tick()
            self._end_if_drained()
        self._close()

    # The turn.

    def _report_ready(self) -> None:
        """Ready when the loop turns; whether anything is served, the control segment says."""
        if not self._is_ready:
            self._is_ready = True
            self._context.report_ready()

    def _patience_s(self) -> float:
        if self._has_walk or self._writes.are_waiting:
            return 0.0
        return max(0, self._next_tick_ms - monotonic_ms()) / 1000

    def _descriptors(self) -> list[Descriptor]:
        return [self._control, *self._origin.watches(), *self._channel.descriptors()]

    def _walk(self) -> None:
        """Learns, between changes, what a dead predecessor knew of the store's memory."""
        try:
            self._has_walk = self._host.walk(WALK_MS)
        except StoreCorrupt as error:
            self._host.raise_alarm(ALARM_DAMAGED, "51324", reason=error)
            self._is_ended = True  # the successor checks everything, and has the store loaded anew

    def _tick(self) -> None:
        now_ms = monotonic_ms()
        if now_ms < self._next_tick_ms:
            return
        self._next_tick_ms = now_ms + TICK_MS
        self._host.reclaim()
        self._own_pair.tick(now_ms)
        self._origin.tick(now_ms)
        self._hand_over.tick()
        self._options.tick(now_ms)
        self._writes.show()
        self._alarm.check()
        self._held.check()
        self._levels.check()
        if self._scrubber.tick(now_ms, TICK_MS):
            self._is_ended = True  # the successor finds it too, and has the store loaded anew

    # Workers.

    def _take(self, peer: Peer, message: Message) -> None:
        if message[0] in VERBS:
            self._writes.add(peer, message)
        else:
            self._answers.take(peer, message)

    def _left(self, peer: Peer) -> None:
        self._writes.leave(peer)
        self._answers.forget(peer)

    # The end.

    def _take_requests(self) -> None:
        for request in self._context.read_requests():
            if request is Request.EXIT:
                self._is_ended = True
            elif request is Request.DRAIN:
                self._is_draining = True
                self._channel.drain()
            elif request is Request.LEAVE:
                self._origin.note_stop()
            elif request is Request.RELOAD:
                self._origin.reload()

    def _end_if_drained(self) -> None:
        """Drained when what was taken in is written and answered."""
        if self._is_draining and not (self._writes.are_open or self._channel.has_unsent):
            self._is_ended = True

    def _close(self) -> None:
        self._origin.close()
        self._channel.close()
        self._poller.close()
        self._host.close()


def run_writer(context: ProcessContext, origin: AnyOrigin) -> None:
    """The main of the writer process: attach, recover, start the origin, serve."""
    began_ms = monotonic_ms()
    failpoint.take_file(context.runtime_folder)
    failpoint.passed("writer.start")
    host = StoreHost.open(context)
    if host.loaded:
        log_event(log, "51313", revision=host.published, elapsed_ms=monotonic_ms() - began_ms)
    try:
        Writer(context, host, origin).run()
    except StoreFull as error:
        host.load_abort()  # what it took is free again, and no reason
        has_store = bool(host.control.generation)
        raise _does_not_fit(error, context.reserve_bytes, has_store=has_store) from error


def _does_not_fit(error: StoreFull, reserve_bytes: int, *, has_store: bool) -> StartRefused:
    """The configuration found no room: for good where --reserve is too small and nothing serves.

    Else the next attempt, after a pause, may find more room, and what is in force serves on.
    """
    free = segment.free_bytes()
    if free >= reserve_bytes:
        text = f"the configuration does not fit into --reserve, {reserve_bytes} bytes: {error}"
        return StartRefused(EXIT_LIMITS if has_store else EXIT_USAGE, text)
    text = f"the configuration finds no room, /dev/shm has {free >> 20} MiB left: {error}"
    return StartRefused(EXIT_LIMITS, text)
