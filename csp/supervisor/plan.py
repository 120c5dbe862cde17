"""Puts together what each child gets, and says what the supervisor must know of the store."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from csp.conf.options import in_force
from csp.observe.clock import wall_ms
from csp.observe.events import log_event
from csp.process import drain
from csp.process.application import options_in, tell_problems
from csp.process.context import OptionValue, ProcessContext, Upstream
from csp.process.keepalive import USUAL, keepalive_in
from csp.process.roles import WRITER, Role, Secret, processes, roles_of
from csp.process.source import Source, SourceRefused, source_in
from csp.process.standing import ROLE_BACKUP, ROLE_SINGLE
from csp.supervisor.child import Child, ChildState
from csp.supervisor.doors import Doors
from csp.supervisor.fork import fork_child
from csp.supervisor.instance import Instance
from csp.supervisor.notify import Notifier
from csp.supervisor.roles import run_role
from csp.supervisor.segment_watch import SegmentWatch
from csp.supervisor.segments import Segments
from csp.supervisor.settings import ServerSettings
from csp.tls.published import make_memory

log = logging.getLogger("csp.supervisor")


class Changed(NamedTuple):
    """What of that with which children were started no longer holds."""

    options: bool
    ports: bool

    def concerns(self, role: Role) -> bool:
        """Whether a child of the role has to start anew for it."""
        return (self.options and role.serves_clients) or (self.ports and role.knows_ports)


class Plan:
    """All that the processes of one server have in common."""

    def __init__(
        self,
        settings: ServerSettings,
        instance: Instance,
        doors: Doors,
        segments: Segments,
        client_count_max: int,
        notifier: Notifier,
        address: str,
        state_folder: Path | None = None,
    ) -> None:
        self.settings = settings
        self.instance = instance
        self.doors = doors
        self.segments = segments
        self.client_count_max = client_count_max
        self.notifier = notifier
        self.address = address
        self._tls_fd = make_memory(instance.name)  # as long as the server: keepers come and go
        self.state_folder = state_folder
        self.started_ms = wall_ms()
        self.app_dbid = 0
        self.options = self._options_in({})
        self.source: Source | None = None  # as the Application says, once it is known
        self.keepalive = USUAL
        self._channels = {
            role.name: instance.listen_channel(role)
            for role in roles_of(settings.mode)
            if role.channel is not None
        }

    def children(self) -> list[Child]:
        """A place for every process, in the order of their first start."""
        return [
            Child(
                role,
                slot,
                role.name_of(slot),
                ChildState.RESTING if role.on_demand else ChildState.WAITING,
            )
            for role, slot in processes(self.settings.mode, self.settings.worker_count)
        ]

    def channel_fd(self, child: Child) -> int:
        """The socket on which a child is asked: readable while somebody waits to be taken in."""
        return self._channels[child.role.name].fileno()

    def watch_segments(self, children: Sequence[Child]) -> SegmentWatch:
        """Who notices that the memory in force has lost its name."""
        writers = [child for child in children if child.role is WRITER]
        return SegmentWatch(self.instance.name, self.segments.control, writers)

    def fork(self, child: Child) -> None:
        """Starts a child's next life."""
        control_fd, report_fd = child.open_pipes()
        context = self._context(child, control_fd, report_fd)
        keep = [
            *(control_fd, report_fd, context.session_fd, context.channel_fd),
            *(*context.listen_fds, *context.wake_fds, context.tls_fd),
        ]
        child.started_at = time.monotonic()
        child.pid, child.stat_fd = fork_child(
            f"csp {self.settings.app_name}: {child.name}",
            child.name,
            lambda: self._main(context),
            keep,
            self.settings.log,
            is_guarded=child.role.is_guarded,
        )
        child.state = ChildState.STARTING
        for fd in (control_fd, report_fd):
            os.close(fd)

    def _main(self, context: ProcessContext) -> None:
        """In the child: what it is not to know goes before anything else comes."""
        self.settings.forget(context.role, os.environ)
        run_role(context)

    def is_lock_free(self, child: Child) -> bool:
        """Whether nobody holds the lock under which the child will work."""
        return self.segments.is_lock_free(child.slot)

    def why_held_up(self, child: Child) -> str | None:
        """Whom a hung child holds up, or None."""
        if not child.role.serves_clients:
            return "everybody"
        if self.doors.is_waited_for(child.slot):
            return "connections in its queue"
        if self.segments.holds_reclaim(child.slot):
            return "the reclaiming of memory"
        return None

    def stand_by(self) -> None:
        """Keeps the ports for clients shut until the writer says that this server serves."""
        if self.segments.was_backup and self.settings.mode == "master":  # until it knows better
            self.segments.control.role = ROLE_BACKUP
        self.segments.control.serving = False
        self.take_standing()

    def serve_alone(self) -> None:
        """Opens them: it was asked again, and belongs to no pair any more."""
        self.segments.control.serving = True
        self.take_standing()

    def keep_listeners(self) -> None:
        """Has the service manager keep them over a restart."""
        self.doors.keep(self.notifier)

    def end_service(self) -> None:
        """Before a stop: a half of a pair refuses clients, so that they go to the other one.

        A single server's listeners stay open where the service manager keeps them: who connects
        waits for the next start.
        """
        if self.segments.control.role != ROLE_SINGLE and self.doors.serve(False):
            self.segments.tell_doors()

    def take_standing(self) -> None:
        """Opens or shuts the ports for clients, as the control segment says."""
        control = self.segments.control
        # Who drains goes on until that is over, though the other one of its pair serves already.
        is_led_away = self.doors.are_open and drain.left_seconds(control) > 0
        if self.doors.serve(control.serving or is_led_away):
            if not self.doors.are_open:  # a half that was drained is no worse for it when it serves
                control.set_drain(0, 0)
            self.segments.tell_doors()

    def is_loaded(self) -> bool:
        """Whether the store serves reads."""
        return self.segments.is_loaded

    def status(self, children: Sequence[Child]) -> str:
        """One line for the service manager."""
        missing = [child.name for child in children if child.is_missing]
        if missing:
            return f"{self.address}: waiting for {', '.join(missing)}"
        if not self.is_loaded():
            return f"{self.address}: loading"
        if drain.is_draining(self.segments.control):
            return f"{self.address}: draining"
        if not self.segments.control.serving:
            return f"{self.address}: standing by, {self.settings.worker_count} workers"
        return f"{self.address}: serving, {self.settings.worker_count} workers"

    def take_application(self, application: dict[str, Any], host: dict[str, Any]) -> Changed:
        """Takes what the Application object says, and its Host."""
        self.app_dbid = int(application.get("DBID", 0))
        before = self.options, self.source
        self.keepalive = keepalive_in(application)
        self.options, self.source = self._options_in(application), self._source_in(application)
        has_changed = before != (self.options, self.source)
        return Changed(has_changed, self.doors.take(application, host))

    def _source_in(self, application: dict[str, Any]) -> Source | None:
        """From where links go out; what can't be used is told, and what was known holds."""
        try:
            return source_in(application) if self.settings.upstream else None
        except SourceRefused as error:
            log_event(log, "51338", reason=error)
            return self.source

    def _options_in(self, application: dict[str, Any]) -> dict[str, OptionValue]:
        """What every process is told of the options; warns of what is set and not taken."""
        mode = self.settings.mode
        found = options_in(application, mode=mode, app_name=self.settings.app_name)
        tell_problems(log, found.problems)
        return in_force(found, mode)

    def _context(self, child: Child, control_fd: int, report_fd: int) -> ProcessContext:
        role = child.role
        channel = self._channels.get(role.name)
        listeners = self.doors.listeners(child.slot) if role.serves_clients else []
        return ProcessContext(
            mode=self.settings.mode,
            role=role,
            app_name=self.settings.app_name,
            app_dbid=self.app_dbid,
            instance=self.instance.name,
            runtime_folder=str(self.instance.folder),
            address=self.address,
            started_ms=self.started_ms,
            slot=child.slot,
            worker_count=self.settings.worker_count,
            client_count_max=self.client_count_max,
            listen_fds=tuple(one.fileno() for one in listeners),
            listen_ports=self.doors.numbers if role.serves_clients else (),
            ports=self.doors.ports,
            default_port=self.settings.default_port,
            shut_ports=tuple(str(one) for one in self.doors.shut),
            tls_fd=self._tls_fd if role.holds_keys else -1,
            wake_fds=self.segments.wake_fds,
            channel_fd=channel.fileno() if channel else -1,
            control_fd=control_fd,
            report_fd=report_fd,
            session_fd=self.segments.session_fd,
            session_rows=self.segments.session_rows,
            reserve_bytes=self.settings.reserve_bytes,
            log_reserve_bytes=self.settings.log_reserve_bytes,
            state_folder=str(self.state_folder or ""),
            database_url=self.settings.database_url if Secret.DATABASE in role.secrets else "",
            must_restore_default=self.settings.must_restore_default,
            upstream=self._upstream(role),
            options=self.options,
        )

    def _upstream(self, role: Role) -> Upstream | None:
        """The master above; its password only for who signs in there."""
        upstream = self.settings.upstream
        if upstream is not None and self.source is not None:
            upstream = dataclasses.replace(upstream, source=self.source)
        if upstream is not None:
            upstream = dataclasses.replace(upstream, keepalive=self.keepalive)
        if upstream is None or Secret.MASTER in role.secrets:
            return upstream
        return dataclasses.replace(upstream, password="")
