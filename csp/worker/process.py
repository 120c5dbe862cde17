"""The main of a worker process: attaches to the store, runs the loop, follows new generations.

1. Everything of an instance comes from the context; nothing is asked of the supervisor.
2. Before the first load the loop runs too: it answers LOADING, and sign-in and status work.
3. The supervisor's death ends the process at once, without draining.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable

from csp._fastpath import Control, Loop, StoreReader
from csp.conf.options import loop_limits
from csp.process.context import ProcessContext, Request
from csp.store import locks, segment
from csp.store.guest import Guest
from csp.worker.server_info import info_of
from csp.worker.slowlane import SlowLane

# Objects made before cycles are looked for: what a sign-in makes goes by itself, and thousands of
# connections would be walked through for each seventeenth of them.
GC_AFTER = 20_000


def run_worker(context: ProcessContext) -> None:
    """Serves until asked to drain and the last connection has gone."""
    WorkerProcess(context).run()


class WorkerProcess:
    """One worker: its loop, its slow lane, and what it holds of the instance."""

    def __init__(self, context: ProcessContext) -> None:
        self._context = context
        self._control = Control(segment.open_control(context.instance))
        self._lock = locks.take_slot(context.instance, context.slot)
        self._control.claim_slot(context.slot, os.getpid())
        self._lane = SlowLane(info_of(context), self._control, self._open_guest)
        self._loop = Loop(
            control=self._control,
            slot=context.slot,
            data_fd=-1,
            listen_fds=list(context.listen_fds),
            listen_ports=context.listen_ports,
            ports=context.ports,
            wake_fd=context.wake_fds[context.slot],
            slow=self._lane,
            limits=loop_limits(
                context.options, mode=context.mode, connections=context.client_count_max
            ),
            attach=self._open_generation,
            session_fd=context.session_fd,
            session_rows=context.session_rows,
            session_slots=context.worker_count,
        )

    def run(self) -> None:
        """Turns until drained or stopped."""
        gc.set_threshold(GC_AFTER)
        self._wake_on_signals()
        self._lane.start(self._loop)
        self._loop.add_fd(self._context.control_fd, self._on_control)
        self._context.report_ready()
        self._loop.run()
        self._lane.stop()

    def _on_control(self) -> None:
        for request in self._context.read_requests():
            if request is Request.EXIT:
                self._loop.stop()
            if request is Request.DRAIN:
                self._loop.drain()

    def _open_generation(self, generation: int) -> int:
        """A descriptor of the data segment; -1 while it is not there (replaced meanwhile)."""
        try:
            return segment.open_data(self._context.instance, generation)
        except segment.SegmentMissing:
            return -1

    def _open_guest(self) -> tuple[StoreReader, Callable[[], None]]:
        """A reader of its own, which keeps one revision while this worker goes on."""
        guest = Guest(self._context.instance, self._control)
        return guest.reader, guest.close

    def _wake_on_signals(self) -> None:
        """A signal that comes outside the poll still wakes it, so that its handler runs at once."""
        read_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        self._loop.add_fd(read_fd, lambda: _drain_pipe(read_fd))


def _drain_pipe(fd: int) -> None:
    os.read(fd, 4096)
