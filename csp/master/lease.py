"""Holds the lease on the database: who has it writes, and whoever takes it names what he saw.

1. The fence in every commit is what makes it safe; the counter only says when it may be taken.
2. The counter moves with each commit, and each RENEW_MS; a writer that hangs moves nothing: all is
   done by its loop.
3. It is taken in one statement, which names the fence and the counter that were read.
4. The row names the connection that commits for it. Whoever takes the lease ends that one first, if
   pid and start are still the same: a master that was stopped amid a commit holds the row locked,
   and the database ends no transaction whose statements are still coming in.
5. Fresh is what began within a lease by the clock since the boot, counted from the start of the
   last statement that found the fence to be ours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from csp.master import statements
from csp.master.commit import OTHER_MASTER, Replaced
from csp.master.database import Database, Head, said
from csp.master.lease_table import Action, Finding
from csp.master.seat import ANYBODY, LEASE_MS, RENEW_MS, Chair, Holder, Seat, holder_in
from csp.observe import failpoint
from csp.observe.clock import monotonic_ms, steady_ms
from csp.observe.events import log_event

BOOT_FILE: Final = "/proc/sys/kernel/random/boot_id"

log = logging.getLogger("csp.master")


class Look(NamedTuple):
    """The head row, as one statement read it."""

    seat: Seat
    head: Head


class Lease:
    """One master's lease on a database that several may want."""

    def __init__(self, database: Database, me: Holder) -> None:
        self.chair = Chair(me)
        self._database = database
        self._backend = (0, "")  # of the connection that commits, as the row names it
        self._holders: dict[str, Holder | None] = {}  # as they were read; one is enough

    def look(self) -> tuple[Look | None, int]:
        """The head row and when it was asked for; None where there is none yet."""
        asked_ms = monotonic_ms()
        rows = self._database.ask(statements.LOOK)
        if not rows:
            return None, asked_ms
        fence, revision, mark, time_ms, stream, beat, heir, text = rows[0]
        if text not in self._holders:
            self._holders = {text: holder_in(text)}
        head = Head(fence, revision, int(mark, 16), time_ms, bytes.fromhex(stream))
        return Look(Seat(fence, beat, heir, self._holders[text]), head), asked_ms

    def take(self, look: Look | None, note: Callable[[int], None]) -> Head:
        """Takes it, as the look found it; Replaced where another was there first.

        The number is noted before the commit: a writer that died between the two leaves a
        successor that knows it for this server's own.
        """
        database = self._database
        seat = look.seat if look is not None else Seat(0, 0)
        fence = self.chair.next_fence(seat)
        began_ms = steady_ms()
        self._backend = database.backend()
        holder = self.chair.me.at(*self._backend).pack()
        values = {"fence_": seat.fence, "beat_": seat.beat, "fence": fence, "holder": holder}
        if look is not None and look.seat.holder is not None:
            self._end_backend(look.seat.holder)
        failpoint.passed("master.before_take")
        with database.connection.begin():
            if look is None:
                database.insert_head(fence, holder)
            elif database.connection.execute(statements.TAKE, values).rowcount != 1:
                raise Replaced(OTHER_MASTER)
            head = database.head_seen_by(database.connection)
            self.chair.fence = fence
            note(fence)
            failpoint.passed("master.taking")
        failpoint.passed("master.taken")
        database.fence, database.fenced_ms = fence, began_ms
        return head

    def _end_backend(self, holder: Holder) -> None:
        """Ends the connection by which a former holder would commit; without the right it stays."""
        if not holder.backend or (holder.backend, holder.backend_start) == self._backend:
            return
        values = {"pid": holder.backend, "start": holder.backend_start}
        try:
            if self._database.ask(statements.END_BACKEND, **values):
                log_event(log, "51385", pid=holder.backend, holder=holder.name)
        except SQLAlchemyError as error:
            log_event(log, "51386", pid=holder.backend, holder=holder.name, reason=said(error))

    @property
    def until_ms(self) -> int:
        """Until when nobody else has it, by the clock since the boot."""
        return self._database.fenced_ms + LEASE_MS

    @property
    def is_due(self) -> bool:
        """Whether the counter is to be moved."""
        return steady_ms() - self._database.fenced_ms >= RENEW_MS

    def renew(self) -> None:
        """Moves the counter, and names the connection that commits; Replaced if another has it."""
        database = self._database
        began_ms = steady_ms()
        self._backend = database.backend()
        holder = self.chair.me.at(*self._backend).pack()
        values = {"fence_": database.fence, "holder": holder}
        if database.tell(statements.RENEW, **values) != 1:
            raise Replaced(OTHER_MASTER)
        database.fenced_ms = began_ms

    def keep(self) -> bool:
        """Renews where it is time for it: to be called amid what takes long; whether it did."""
        is_due = self.chair.may_write and self.is_due
        if is_due:
            self.renew()
        return is_due

    def release(self, heir: str = ANYBODY) -> None:
        """Leaves it to a standby, or to anybody; Replaced if another has it already."""
        failpoint.passed("master.releasing")
        values = {"fence_": self._database.fence, "heir": heir}
        if self._database.tell(statements.RELEASE, **values) != 1:
            raise Replaced(OTHER_MASTER)
        failpoint.passed("master.released")

    def find(self, finding: Finding) -> Action:
        """What this master is to do now that it found that."""
        return self.chair.find(finding)


def boot_id() -> str:
    """The run of this host's kernel."""
    with open(BOOT_FILE, encoding="ascii") as file:
        return file.read().strip()
