"""Starts one server: takes its port and its name, then its memory, then forks.

The order matters: what can be refused is refused before anything is made, and the port is bound
before the load, so that a second server on it never gets as far as the data.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import setproctitle

from csp import __version__
from csp.exits import EXIT_DONE, EXIT_LIMITS, EXIT_NO_CONNECTION, EXIT_USAGE
from csp.observe.events import log_event
from csp.observe.log import start_log, stop_log
from csp.store import segment
from csp.supervisor.application import ApplicationWanted, port_of
from csp.supervisor.application_store import read_own_application
from csp.supervisor.bootstrap import Bootstrap, Own
from csp.supervisor.doors import Doors
from csp.supervisor.fork import guard
from csp.supervisor.instance import (
    InstanceTaken,
    RuntimeFolderRefused,
    instance_name,
    runtime_root,
    take_instance,
)
from csp.supervisor.kept_listeners import KeptListeners
from csp.supervisor.limits import LimitsRefused, raise_limits
from csp.supervisor.listeners import Address, PortTaken, address_of, bind_listeners
from csp.supervisor.notify import Notifier
from csp.supervisor.plan import Plan
from csp.supervisor.roles import import_shared
from csp.supervisor.segments import Segments, SegmentsRefused, other_table
from csp.supervisor.settings import ServerSettings
from csp.supervisor.signals import STOPPING, ignore_from_outside, stops_put_off
from csp.supervisor.state_folder import StateFolderRefused, make_state_folder
from csp.supervisor.supervise import Supervisor

if TYPE_CHECKING:
    from csp.supervisor.snapshots import Snapshots

ALL_ADDRESSES = "0.0.0.0"  # where a port that comes from the Application object is bound


def serve(settings: ServerSettings) -> int:
    """Runs a server until it is stopped; returns the exit code."""
    guard()  # it was told passwords, and shares with its children what holds keys
    setproctitle.setproctitle(f"csp {settings.app_name}: supervisor")
    start_log(settings.log, "supervisor")
    notifier = Notifier(os.environ)
    ignore_from_outside()
    for number in STOPPING:
        signal.signal(number, _end_early)
    try:
        return _serve(settings, notifier)
    except (PortTaken, InstanceTaken) as refusal:
        return _refused(refusal, EXIT_NO_CONNECTION)
    except (RuntimeFolderRefused, StateFolderRefused) as refusal:
        return _refused(refusal, EXIT_USAGE)
    except (LimitsRefused, SegmentsRefused) as refusal:
        return _refused(refusal, EXIT_LIMITS)
    finally:
        stop_log()


def _refused(refusal: Exception, exit_code: int) -> int:
    log_event(logging.getLogger("csp.supervisor"), "51011", reason=refusal)
    return exit_code


def _serve(settings: ServerSettings, notifier: Notifier) -> int:
    client_count_max = raise_limits(settings.worker_count, settings.reserve_bytes)
    kept = KeptListeners(os.environ)
    workers = settings.worker_count
    listeners = bind_listeners(settings.listen, workers, kept) if settings.listen else []
    address = address_of(listeners[0][0]) if listeners else None
    origin = settings.upstream.address if settings.upstream else settings.database_url
    name = instance_name(settings.mode, settings.app_name, str(address or ""), origin)
    instance = take_instance(name, runtime_root(os.environ))
    with ExitStack() as undo:  # a start that is refused, or stopped, before it has begun
        undo.callback(instance.remove)
        folder = _state_folder(settings, instance.name)
        bootstrap = _bootstrap(settings, folder or instance.folder)
        if address is None:
            notifier.status("waiting for the master, which knows the port")
            exit_code = bootstrap.run_to_end()
            if exit_code is not None:
                return exit_code
            port = port_of(bootstrap.application)
            assert port is not None  # why_unfit refuses an Application without one
            address = Address(ALL_ADDRESSES, port)
            listeners = bind_listeners(address, workers, kept)
        doors = Doors(listeners, settings.default_port, kept)
        begins_shut = settings.may_share_database or bootstrap.may_be_of_pair
        if begins_shut:  # before all that takes long
            doors.serve(False)
        import_shared()
        snapshots = _snapshots(settings, instance.name, folder)
        with stops_put_off():  # what is set aside is known to be, or it is not
            segments = Segments(
                *(instance.name, settings.worker_count, client_count_max, settings.reserve_bytes),
                must_forget=settings.must_forget_memory,
                is_only_copy=snapshots is not None,
            )
            undo.callback(lambda: segments.remove(but_data=segments.is_taken_over))
        _log_start(settings, name)
        plan = Plan(
            *(settings, instance, doors, segments),
            *(client_count_max, notifier, str(address)),
            state_folder=folder,
        )
        if begins_shut:
            plan.stand_by()
        if bootstrap.is_done:
            plan.take_application(bootstrap.application, bootstrap.host)
        supervisor = Supervisor(plan, bootstrap, snapshots)
        undo.pop_all()
    exit_code = supervisor.run()
    # Not in a `finally`: what a fault leaves behind is what the next start attaches to. So is what
    # a start found that was refused: it may be the last copy.
    is_refused = exit_code != EXIT_DONE and segments.is_taken_over
    segments.remove(but_data=supervisor.keeps_segments or is_refused)
    instance.remove()
    log_event(logging.getLogger("csp.supervisor"), "51003")
    return exit_code


def _state_folder(settings: ServerSettings, instance: str) -> Path | None:
    """A proxy's; a master has its database."""
    if settings.state_root is None:
        return None
    return make_state_folder(settings.state_root, instance)


def _snapshots(settings: ServerSettings, instance: str, folder: Path | None) -> Snapshots | None:
    """A proxy's, the segments of another key table taken into one if an earlier run left such."""
    if folder is None:
        return None
    from csp.supervisor.snapshots import Snapshots

    snapshots = Snapshots(instance, folder, settings.app_name, settings.log)
    table = other_table(instance)
    if table is not None and snapshots.rescue(table):
        segment.unlink_all(instance)
    return snapshots


def _bootstrap(settings: ServerSettings, folder: Path) -> Bootstrap:
    name = settings.app_name
    if settings.upstream is None:
        instance = folder.name
        return Bootstrap(
            lambda: read_own_application(instance, name),
            *(folder, name, settings.log),
            needs_store=True,
        )
    wanted = ApplicationWanted(name, settings.listen, settings.must_create_application)

    def fetch() -> Own:
        from csp.supervisor.application_fetch import fetch_application
        from csp.supervisor.application_kept import keep_newest

        keep_newest(folder, wanted)  # before: this attempt may be given up
        assert settings.upstream is not None  # asked for now: other children have forgotten it
        return fetch_application(settings.upstream, wanted, folder)

    return Bootstrap(fetch, folder, name, settings.log, needs_store=False)


def _log_start(settings: ServerSettings, instance: str) -> None:
    log_event(
        logging.getLogger("csp.supervisor"),
        "51000",
        release=__version__,
        mode=settings.mode,
        app=settings.app_name,
        instance=instance,
    )


def _end_early(number: int, frame: FrameType | None) -> NoReturn:
    """A stop before the loop runs: only a bootstrap may be forked yet, and it dies too."""
    sys.exit(0)
