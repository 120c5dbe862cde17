"""Creates or takes over the shared memory of an instance, and the eventfds that wake its workers.

1. Only the supervisor creates the control segment and removes segments; it never reads an object.
2. Segments that a crashed run left are taken over if they fit this run.
3. What another release left, and this one can't take over, is a proxy's only copy while its master
   is away: it is set aside, until this run serves, and has its name again if it never does.
4. The table of sessions is always new: no connection outlives its supervisor.
"""

from __future__ import annotations

import logging
import os

import posix_ipc

from csp._fastpath import SESSION_ROW_BYTES, Control, StoreError, segment_table
from csp.model.keys import TABLE_DIGEST
from csp.observe.events import log_event
from csp.process import drain
from csp.process.roles import SUPERVISOR_SLOT, WRITER
from csp.process.standing import ROLE_BACKUP, Standing, show
from csp.store import locks, segment
from csp.store.control import LINK_DOWN, STATE_READY
from csp.tables.metrics import PLACES

SESSION_ROWS_MAX = 65_536  # per worker; a row costs memory only once it was used

log = logging.getLogger("csp.supervisor")


class SegmentsRefused(Exception):
    """The shared memory can't be made; the text says why and what to do."""


class Segments:
    """The control segment, the session table and the eventfds of one instance."""

    def __init__(
        self,
        instance: str,
        worker_count: int,
        client_count_max: int,
        reserve_bytes: int,
        *,
        must_forget: bool = False,
        is_only_copy: bool = False,
    ) -> None:
        """`is_only_copy`: what they hold may be nowhere else, as a proxy's whose master is away."""
        self._instance = instance
        if must_forget:
            segment.unlink_all(instance)
        try:
            segment.check_room(reserve_bytes)
        except segment.SharedMemoryTooSmall as error:
            raise SegmentsRefused(str(error)) from None
        attached = _attach_control(instance, is_only_copy=is_only_copy)
        self.is_taken_over = attached is not None
        self._control_fd, self.control = attached or _create_control(instance)
        # A start is the word to be master, also after a replacement; a writer's restart is not.
        self.control.fence = 0
        # What an earlier run's writer said, it said of that run.
        self.was_backup = self.is_taken_over and self.control.role == ROLE_BACKUP
        show(self.control, Standing())
        self.control.set_drain(0, 0)
        self.control.claim_slot(SUPERVISOR_SLOT, os.getpid())
        self.session_rows = min(client_count_max, SESSION_ROWS_MAX)
        self.session_fd = _create_sessions(instance, self.session_rows * worker_count)
        self.wake_fds = tuple(
            os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(worker_count)
        )

    @property
    def is_loaded(self) -> bool:
        """Whether readers are served."""
        return bool(self.control.state == STATE_READY)

    def is_lock_free(self, slot: int) -> bool:
        """Whether nobody works under the lock of a slot, or, for the writer's, under its own."""
        if slot in WRITER.slots and not locks.is_writer_free(self._control_fd):
            return False
        return locks.is_slot_free(self._control_fd, slot)

    def holds_reclaim(self, slot: int) -> bool:
        """Whether a reader holds memory that the writer has let go of since it announced itself."""
        seen = int(self.control.slot(slot)["seen"])
        return 0 < seen < int(self.control.epoch)

    def clear_slot(self, slot: int) -> None:
        """Takes back what a dead reader had announced; its lock must be free."""
        if self.is_lock_free(slot):
            self.control.clear_slot(slot)

    def show_link_down(self) -> None:
        """Says of the origin that nothing is heard of it: there is no writer that could."""
        state, revision, heard_ms = self.control.link()
        if state != LINK_DOWN:
            self.control.set_link(LINK_DOWN, revision, heard_ms, self.control.link_wall_ms)

    def count_restart(self, role: str) -> None:
        """A child ended unasked and is started again."""
        self.control.count(SUPERVISOR_SLOT, PLACES[f"{role}_restarts"])

    def tell_doors(self) -> None:
        """Has the workers look at ports and drain, asleep as they may be."""
        drain.ring(self.control, self.wake_fds)

    def drop_aside(self) -> None:
        """This run serves: what was set aside has no use any more."""
        segment.drop_aside(self._instance)

    def remove(self, *, but_data: bool = False) -> None:
        """Removes every segment of the instance; processes that still map one keep it.

        `but_data`: what the next start attaches to stays. What was set aside is back in its place.
        """
        if not but_data:
            segment.unlink_all(self._instance)
            segment.take_back(self._instance)
        segment.unlink(_session_name(self._instance))


class _Useless(Exception):
    """Segments hold nothing that anybody could serve."""


class _Foreign(Exception):
    """Segments of another release, which that one could serve."""


def _attach_control(instance: str, *, is_only_copy: bool) -> tuple[int, Control] | None:
    """The control segment of an earlier run with a loaded store, if it left one that fits."""
    while True:
        try:
            found = _try_control(instance)
        except segment.SegmentMissing:
            found = None
        except _Useless as reason:
            log_event(log, "51005", reason=reason)
            segment.unlink_all(instance)
            found = None
        except _Foreign as reason:
            _put_away(instance, reason, is_only_copy=is_only_copy)
            return None
        if found is not None:
            log_event(log, "51004")
            return found
        if not segment.take_back(instance):
            return None


def _put_away(instance: str, reason: Exception, *, is_only_copy: bool) -> None:
    if is_only_copy and segment.set_aside(instance):
        log_event(log, "51016", reason=reason)
        return
    log_event(log, "51005", reason=reason)
    segment.unlink_all(instance)


def _try_control(instance: str) -> tuple[int, Control]:
    fd = segment.open_control(instance)
    try:
        if os.fstat(fd).st_size != Control.SIZE:
            raise _Foreign("the control segment has another size")
        control = Control(fd)
        if control.generation not in segment.generations(instance):
            raise _Useless("there is no data segment")
        if control.state != STATE_READY:
            raise _Useless("its load was not finished")
        if table_of(instance, control.generation) != TABLE_DIGEST:
            raise _Foreign("its filter keys were built by another key table")
    except BaseException as reason:
        os.close(fd)
        if isinstance(reason, ValueError | StoreError):
            raise _Foreign(str(reason)) from reason
        raise
    return fd, control


def other_table(instance: str) -> int | None:
    """The key table of segments that fit this release in all else; None where there are none."""
    try:
        fd = segment.open_control(instance)
    except segment.SegmentMissing:
        return None
    try:
        if os.fstat(fd).st_size != Control.SIZE:
            return None
        control = Control(fd)
        if control.state != STATE_READY:
            return None
        table = table_of(instance, control.generation)
    except (ValueError, StoreError, segment.SegmentMissing):
        return None
    finally:
        os.close(fd)
    return table if table != TABLE_DIGEST else None


def table_of(instance: str, generation: int) -> int:
    """The digest of the key table by which a data segment was made."""
    fd = segment.open_data(instance, generation)
    try:
        return segment_table(fd)
    finally:
        os.close(fd)


def _create_control(instance: str) -> tuple[int, Control]:
    segment.unlink_all(instance)  # data without control: the run that made it was killed early
    try:
        segment.check_free()
        fd = segment.create(segment.control_name(instance), Control.SIZE)
        return fd, Control(fd, format=True)
    except segment.SharedMemoryTooSmall as error:
        raise SegmentsRefused(str(error)) from None
    except (OSError, StoreError, posix_ipc.Error) as error:
        segment.unlink_all(instance)  # a part of it was made
        raise SegmentsRefused(f"the control segment can't be made: {error}") from error


def _create_sessions(instance: str, row_count: int) -> int:
    name = _session_name(instance)
    segment.unlink(name)
    return segment.create(name, row_count * SESSION_ROW_BYTES)


def _session_name(instance: str) -> str:
    return f"/csp-{instance}-sessions"
