"""Runs the supervisor's loop: waits for signals, reports and the clock; keeps children alive.

1. One thread, one select; nothing here waits for a child or for the network.
2. A child is forked only when its time has come and the lock of its predecessor is free.
3. READY is told to the service manager once, when every child is ready and the store loaded.
4. After the first request to stop nothing is started any more.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from csp.exits import EXIT_NO_CONNECTION, EXIT_REFUSED, EXIT_USAGE
from csp.observe.events import log_event
from csp.observe.log import LEVELS, set_level
from csp.process.context import Request
from csp.supervisor.bootstrap import Bootstrap
from csp.supervisor.child import Child, ChildState, death_reason
from csp.supervisor.leaving import Leaving
from csp.supervisor.missing import Missing
from csp.supervisor.plan import Plan
from csp.supervisor.pulses import Pulses
from csp.supervisor.roles import import_for_replacements
from csp.supervisor.signals import RELOADING, REOPENING, STOPPING, SignalQueue, name_of
from csp.supervisor.stop import Stop

if TYPE_CHECKING:
    from csp.supervisor.snapshots import Snapshots

TICK_SECONDS = 1.0  # how often pulses are asked for and the status is written
LOADED_POLL_SECONDS = 0.1  # the store's state is looked at, nobody is asked
LOCK_POLL_SECONDS = 0.02  # a dead predecessor's lock is free at once; a dying one's in a moment
SAME_SIGNAL_SECONDS = 0.5  # a signal to the process and one to its group are one wish
FATAL_EXITS = (EXIT_USAGE, EXIT_NO_CONNECTION, EXIT_REFUSED)  # see StartRefused

log = logging.getLogger("csp.supervisor")


class Supervisor:
    """The parent of all processes of one server."""

    def __init__(
        self, plan: Plan, bootstrap: Bootstrap, snapshots: Snapshots | None = None
    ) -> None:
        """`snapshots`: of a proxy."""
        self.plan = plan
        self.bootstrap = bootstrap
        self.snapshots = snapshots
        self.keeps_segments = False  # they hold what nothing else does
        self.signals = SignalQueue()
        self.children: list[Child] = plan.children()
        self.pulses = Pulses(self.children, plan)
        self.segment_watch = plan.watch_segments(self.children)
        self.missing = Missing(plan.segments.control, plan.segments.show_link_down)
        self.stop = Stop(self.children)
        self.leaving = Leaving(plan.segments, plan.settings.worker_count)
        self.is_announced = False
        self._log_level = 0
        self._next_tick = time.monotonic() + TICK_SECONDS

    def run(self) -> int:
        """Serves until stopped; returns the exit code."""
        while not self.stop.is_done:
            self._start_due()
            self._wait()
            self._reap()
            self._tick()
        self._write_last_snapshot()
        return self.stop.exit_code

    def _write_last_snapshot(self) -> None:
        """What the segments hold must be on the disk before they may go."""
        if self.snapshots is None or not self.plan.is_loaded():
            return
        if self.stop.is_forced:
            self.snapshots.kill()
            self.keeps_segments = True
            return
        self.plan.notifier.status("writing the snapshot")
        deaf_until = self.stop.begun_at + SAME_SIGNAL_SECONDS
        is_whole = self.snapshots.write_last(self.signals, deaf_until=deaf_until)
        self.keeps_segments = not is_whole

    def _wait(self) -> None:
        by_fd = {child.report_fd: child for child in self.children if child.report_fd >= 0}
        wanted = {
            self.plan.channel_fd(child): child
            for child in self.children
            if child.state is ChildState.RESTING
        }
        fds = [self.signals.fd, *by_fd, *wanted]
        readable, _, _ = select.select(fds, [], [], self._patience())
        for fd in readable:
            if fd in by_fd:
                by_fd[fd].take_reports(self._on_ready, self.plan.take_standing)
            elif fd in wanted:  # somebody has connected: from now on it is there as the others are
                wanted[fd].state = ChildState.WAITING
        for number in self.signals.take():
            self._on_signal(number)

    def _patience(self) -> float:
        now = time.monotonic()
        moments = [self._next_tick, *self.stop.deadlines(), *self.leaving.deadlines()]
        for child in self._waiting():
            moments.append(now + LOCK_POLL_SECONDS if child.start_at <= now else child.start_at)
        if self._is_bootstrap_waiting():
            moments.append(self.bootstrap.start_at)
        if not self.is_announced and self._is_serving():
            moments.append(now + LOADED_POLL_SECONDS)
        return max(0.0, min(moments) - now)

    def _waiting(self) -> Sequence[Child]:
        """Children that are to be started; none once the stop has begun."""
        if self.stop.has_begun:
            return ()
        return [
            child
            for child in self.children
            if child.state is ChildState.WAITING and self._may_start(child)
        ]

    def _may_start(self, child: Child) -> bool:
        if self.bootstrap.is_done or self.bootstrap.needs_store:
            return True
        # The writer must know its Application; clients may be told LOADING meanwhile.
        return not child.role.needs_application and self.bootstrap.has_failed

    def _is_bootstrap_waiting(self) -> bool:
        """Whether an attempt to read the Application is to be made, now or later."""
        bootstrap = self.bootstrap
        if self.stop.has_begun or bootstrap.is_done or bootstrap.is_running:
            return False
        return not bootstrap.needs_store or self.plan.is_loaded()

    # ---- life of the children

    def _start_due(self) -> None:
        now = time.monotonic()
        if self._is_bootstrap_waiting() and self.bootstrap.is_due(now):
            self.bootstrap.start()
        for child in self._waiting():
            if child.start_at > now:
                continue
            if self.plan.is_lock_free(child):
                child.waits_for_lock = False
                self.plan.fork(child)
                log_event(log, "51100", role=child.name, pid=child.pid)
            elif not child.waits_for_lock:
                child.waits_for_lock = True
                log_event(log, "51105", role=child.name)

    def _on_ready(self, child: Child) -> None:
        child.policy.on_ready()
        elapsed_ms = int((time.monotonic() - child.started_at) * 1000)
        log_event(log, "51101", role=child.name, elapsed_ms=elapsed_ms)

    def _reap(self) -> None:
        if self.bootstrap.is_running:
            status = _exit_status(self.bootstrap.pid)
            if status is not None:
                self._on_bootstrap_end(os.waitstatus_to_exitcode(status))
        for child in self.children:
            status = _exit_status(child.pid) if child.is_running else None
            if status is not None:
                self._on_death(child, status)

    def _on_bootstrap_end(self, exit_code: int) -> None:
        verdict = self.bootstrap.on_end(exit_code, time.monotonic())
        if verdict is not None:
            self.stop.begin(f"refused at start, exit {verdict}", exit_code=verdict)
        elif self.bootstrap.is_done:
            own = self.bootstrap
            self._stand(of_pair=own.pair_dbid != 0)
            changed = self.plan.take_application(own.application, own.host)
            for child in self.children:
                if changed.concerns(child.role):
                    child.replace("what it was started with no longer holds")
        else:
            self._stand(of_pair=self.bootstrap.was_of_pair)  # clients are told LOADING meanwhile

    def _stand(self, *, of_pair: bool) -> None:
        """The Application says whether a proxy may be a backup; a master's writer says it all."""
        if not self.bootstrap.needs_store and of_pair:
            self.plan.stand_by()
        elif not self.bootstrap.needs_store:
            self.plan.serve_alone()

    def _on_death(self, child: Child, status: int) -> None:
        child.take_reports(self._on_ready, self.plan.take_standing)  # what it said last
        was_ready = child.state is ChildState.READY
        pid, child.pid = child.pid, 0
        child.close_pipes()
        child.pulse.answered()
        self.plan.segments.clear_slot(child.slot)
        reason = death_reason(status)
        exit_code = os.waitstatus_to_exitcode(status)
        if self.stop.has_begun:
            child.state = ChildState.GONE
            log_event(log, "51104", role=child.name, pid=pid, reason=reason)
            return
        child.state = ChildState.WAITING
        if child.replaced_for:
            log_event(log, "51104", role=child.name, pid=pid, reason=child.replaced_for)
            child.replaced_for = ""
            return
        if exit_code in FATAL_EXITS and not was_ready:
            child.state = ChildState.GONE
            self.stop.begin(f"{child.name} refused to start", exit_code=exit_code)
            return
        child.last_death = reason
        self.plan.segments.count_restart(child.role.name)
        delay_ms = child.policy.on_death(was_ready=was_ready)
        child.start_at = time.monotonic() + delay_ms / 1000
        log_event(log, "51102", role=child.name, pid=pid, reason=reason, delay_ms=delay_ms)

    # ---- signals and clock

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            return  # _reap asks for each child by its pid
        name = name_of(number)
        if number not in STOPPING:
            self._on_message(number, name)
            return
        if self.stop.has_begun:
            if time.monotonic() - self.stop.begun_at >= SAME_SIGNAL_SECONDS:
                log_event(log, "51006", signal=name, text="again: stopping at once")
                self.stop.is_forced = True
                self.stop.at_once()
            return
        self._stop_for(f"signal {name}")

    def _stop_for(self, reason: str) -> None:
        """Stops, once clients were led away where an option gives that time; asked twice, now."""
        if self.leaving.has_begun:
            if time.monotonic() - self.leaving.begun_at < SAME_SIGNAL_SECONDS:
                return
        else:
            self.plan.notifier.stopping()
            seconds = float(self.plan.options["drain-timeout"])
            if self.leaving.begin(seconds, reason):
                return
        self.plan.end_service()
        self.stop.begin(reason, exit_code=0)

    def _on_message(self, number: int, name: str) -> None:
        """A signal that ends nothing."""
        if number not in (*RELOADING, *REOPENING):
            log_event(log, "51006", signal=name, text="ignored")
            return
        text = "log files are opened anew"
        if number in RELOADING:
            text += ", the master's password and certificates are read anew"
            for child in self.children:
                if child.role.reloads and child.state is ChildState.READY:
                    child.ask(Request.RELOAD)
        log_event(log, "51006", signal=name, text=text)
        for handler in logging.getLogger("csp").handlers:
            handler.flush()

    def _tick(self) -> None:
        now = time.monotonic()
        if self.leaving.is_over(now) and not self.stop.has_begun:
            self.plan.end_service()
            self.stop.begin(self.leaving.reason, exit_code=0)
        if self.stop.has_begun:
            self.bootstrap.kill()
            self.stop.advance(now)
        if now < self._next_tick and not self._is_newly_ready():
            return
        self._next_tick = now + TICK_SECONDS
        if not self.stop.has_begun:
            self.pulses.tick(now)
            self.segment_watch.tick()
            self._take_log_level()
            self.plan.take_standing()  # a writer may die before it has reported what it showed
            self.bootstrap.give_up_late(now)
            self.missing.tick(now, self.children, self._wait_words())
            self._announce()
            if self.snapshots is not None and self.plan.is_loaded():
                interval = self.plan.options["snapshot-interval"]
                self.snapshots.tick(now, interval_seconds=float(interval))
        for handler in logging.getLogger("csp").handlers:
            handler.flush()

    def _take_log_level(self) -> None:
        """The one option of a running supervisor; the writer, which reads the store, shows it."""
        place = self.plan.segments.control.log_level
        if place != self._log_level:
            self._log_level = place
            set_level(list(LEVELS)[place - 1] if place else "")

    def _is_newly_ready(self) -> bool:
        return not self.is_announced and self._is_serving() and self.plan.is_loaded()

    def _is_serving(self) -> bool:
        return (
            not self.stop.has_begun
            and self.bootstrap.is_done
            and not any(child.is_missing for child in self.children)
        )

    def _wait_words(self) -> str:
        """What children that have not begun wait for; empty where it is nothing in common."""
        if self.bootstrap.is_done or self.bootstrap.needs_store:
            return ""
        return "the master is not there, or does not tell this server's Application"

    def _announce(self) -> None:
        status = self.plan.status(self.children)
        if self._is_newly_ready():
            self.is_announced = True
            self.plan.segments.drop_aside()
            log_event(log, "51001", address=self.plan.address)
            self.plan.notifier.ready(status)
            self.plan.keep_listeners()
            import_for_replacements(self.plan.settings.mode, self.plan.settings.database_url)
        else:
            self.plan.notifier.status(status)


def _exit_status(pid: int) -> int | None:
    """The wait status of a child of ours that ended, else None."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return status if ended else None
