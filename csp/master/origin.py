"""The origin `database`: what the writer of a master asks of its database.

1. `start` leaves the store with exactly what the database holds, whatever was there before.
2. Every write is answered after its revision is published here.
3. The database belongs to this process alone for as long as its fence number is the newest.
4. While the database is lost, damaged or not the one that it was, what is in the store serves on;
   writes are refused with the reason.
5. Of the masters of one PostgreSQL database one has the lease; the others stand by: they take no
   writes, follow the database, and take the lease when it is free (standing_by.py, lease.py).
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Sequence
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from csp import errors
from csp._fastpath import StoreFull
from csp.exits import EXIT_REFUSED, EXIT_USAGE
from csp.master import upkeep
from csp.master.build import Built
from csp.master.clock import MasterClock
from csp.master.clock_alarm import tell_clock
from csp.master.commit import OTHER_MASTER, Replaced
from csp.master.content import OtherDatabase, check_content, exit_code, in_one_line, warn_of_mode
from csp.master.database import Database, Head, in_words
from csp.master.engine import Engine
from csp.master.lease import boot_id
from csp.master.load import catch_up, load_everything, load_other
from csp.master.outage import Found, Outage
from csp.master.published import HostView
from csp.master.rank import Rank, unknown_standing
from csp.master.retention import Limits, Retention
from csp.master.seat import Holder
from csp.master.seed import SeedPlan
from csp.master.session_log import SessionLog
from csp.master.sqlite_file import FileLost
from csp.master.tickets import Tickets
from csp.model.account_notes import Notes, notes_in
from csp.model.pairs import PairRow
from csp.model.redundancy import Pair
from csp.model.requests import WriteOutcome, WriteRequest
from csp.model.sessions import records_in
from csp.observe.clock import wall_ms
from csp.observe.events import log_event
from csp.process.context import ProcessContext, StartRefused
from csp.process.origin import Later, StoreForOrigin
from csp.process.own_options import OwnOptions
from csp.process.polling import Descriptor
from csp.process.standing import NO_PAIR, Standing
from csp.store.alarms import ALARM_DATABASE, ALARM_DATABASE_FAILS, ALARM_REPLACED
from csp.store.control import LINK_DATABASE, LINK_DOWN
from csp.tables.events import Alarm

DEFAULT_ACCESS: Final = "no-default-access"

log = logging.getLogger("csp.master")


class DatabaseOrigin:
    """The master's database, its rules and its history."""

    def __init__(
        self,
        address: str,
        plan: SeedPlan | None = None,
        *,
        must_restore_default: bool = False,
        me: Holder | None = None,
    ) -> None:
        self.address = address
        self._must_restore_default = must_restore_default
        self.plan = plan or SeedPlan(password="")
        self.database = Database(address)
        self.clock = MasterClock()
        self.retention = Retention()
        self._sessions = SessionLog()
        self._notes = Notes()  # of accounts
        self._tickets = Tickets()
        self._keeps_logins = False
        self._engine: Engine | None = None
        self._host: StoreForOrigin | None = None
        self._outage: Outage | None = None
        self._heard_ms = 0
        self._is_ended = False
        self._is_leaving = False
        self._rank: Rank | None = None  # among masters of one database; None: there can't be any
        if self.database.is_shared:
            name = self.plan.app_name
            me = me or Holder(name, name, socket.gethostname(), boot_id())
            self._rank = Rank(self.database, me)
        self._gives_default_access = False

    @classmethod
    def of_server(cls, context: ProcessContext) -> DatabaseOrigin:
        """The origin of the server that this writer belongs to."""
        port = context.address.rpartition(":")[2]
        host = socket.gethostname()
        try:
            origin = cls(
                context.database_url,
                SeedPlan("", context.app_name, host, port),
                must_restore_default=context.must_restore_default,
                me=Holder(context.app_name, context.instance, host, boot_id(), f"{host}:{port}"),
            )
        except errors.BadValue as error:
            raise StartRefused(EXIT_USAGE, error.text) from error
        origin.database.turn.sign = context.report_life
        return origin

    # -- start ---------------------------------------------------------------------------------

    def start(self, host: StoreForOrigin) -> None:
        """Migrates, fills a new database, then loads the store or catches it up.

        StartRefused where nothing is served yet; else that serves on, the database is looked for.
        """
        self._host = host
        self._must_restore_default &= not host.fence  # an earlier writer of this run has done it
        try:
            self._open(host)
        except errors.BadValue as error:
            raise StartRefused(EXIT_USAGE, error.text) from error
        except (OtherDatabase, FileLost, SQLAlchemyError) as error:
            text = in_one_line(error)
            if not host.loaded:
                raise StartRefused(exit_code(error), f"--db: {text}") from error
            if isinstance(error, OtherDatabase) and not host.fence:
                self.close()
                raise StartRefused(EXIT_REFUSED, f"--db: {text}") from error
            self.database.note_loss(text)
            self._watch_over()
        if self._rank is None or not self._rank.is_shown:
            host.show_standing(Standing() if self._rank is None else unknown_standing(host.role))

    def _open(self, host: StoreForOrigin) -> None:
        """Becomes the database's master, and serves what it holds."""
        check_content(self.database, host)
        warn_of_mode(self.database)
        self.database.migrate()
        if self._rank is None:
            self._lead_alone(host)
            return
        self._rank.begin(host)
        self._seek(host, self._rank)
        if self._rank.is_standing_by:
            self._rank.poll(0)

    def _seek(self, host: StoreForOrigin, rank: Rank) -> None:
        """Serves, if the lease is still ours or free; else it stands by."""
        head = rank.seek()
        if head is None:
            self._stand_by(OTHER_MASTER)
        else:
            self._lead(host, head)

    def _lead_alone(self, host: StoreForOrigin) -> None:
        """The one master of a file."""

        def note(number: int) -> None:
            host.fence = number

        try:
            head = self.database.take_fence(host.fence, note)
        except Replaced as error:
            self._serve_without_writing(host, error)
            return
        self._lead(host, head)

    def _lead(self, host: StoreForOrigin, head: Head) -> None:
        """Fills a new database, and serves under the fence that is ours."""
        try:
            upkeep.fill(self.database, self.plan, self.address, head, self.clock.now_ms())
            self._serve(host)
        except Replaced as error:
            if self._rank is None:
                raise
            self._stand_by(str(error))

    def _stand_by(self, reason: str) -> None:
        """Takes no writes, and follows the database, until the lease is free."""
        assert self._rank is not None
        if self._must_restore_default:
            self._must_restore_default = False
            log_event(log, "51384")
        self._engine = None
        self._rank.demote(reason)

    def _serve(self, host: StoreForOrigin) -> None:
        """Brings the store to what the database holds, under the fence that is ours."""
        view = HostView(host, self.database)
        keep = self._rank.lease.keep if self._rank is not None else None
        if not host.loaded:
            load_everything(self.database, host, view, keep)
        elif not catch_up(self.database, host, view):
            load_other(self.database, host, view, keep)
        head = self.database.head()
        engine = Engine(self.database, view, head, self.clock.now_ms)
        engine.committed = self._committed
        engine.gives_default_access = self._gives_default_access
        self._tickets.load(self.database.connection)
        self._sessions.begin()
        self._engine = engine
        upkeep.complete(engine)
        if self._must_restore_default:
            self._must_restore_default = False
            upkeep.restore_default(engine)
        with contextlib.suppress(errors.CspError):  # then the tick tries, and tells of it
            engine.rotate_keys()
        if self._rank is not None:
            self._rank.lead(engine.revision)
        self._heard(engine.revision, wall_ms())
        stream, revision = head.stream.hex(), engine.revision
        log_event(log, "51351", stream=stream, revision=revision, fence=head.fence)

    def _serve_without_writing(self, host: StoreForOrigin, reason: Replaced) -> None:
        """A predecessor of this writer was the master, and another server is now."""
        view = HostView(host, self.database)
        if not host.loaded:  # nothing that could be trusted was left
            load_everything(self.database, host, view)
        self._engine = Engine(self.database, view, self.database.head(), self.clock.now_ms)
        self._engine.end(f"{reason}; this one takes no writes any more")
        self._heard_ms = host.time_ms
        self._watch_over()

    @property
    def engine(self) -> Engine:
        if self._rank is not None and self._rank.is_standing_by:
            raise self._rank.why_not
        if self._engine is None:
            raise errors.Loading("the master has not read its database yet")
        return self._engine

    # -- service -------------------------------------------------------------------------------

    @property
    def writable(self) -> bool:
        """While it can't write, it says why."""
        return True

    forwards: Final = False

    def write(self, requests: Sequence[WriteRequest]) -> list[WriteOutcome]:
        try:
            self.database.check_there()
            engine = self.engine
        except errors.CspError as error:
            return [WriteOutcome(0, (), error) for _ in requests]
        engine.hasher.next_batch()
        try:
            outcomes = engine.write(requests)
        except BaseException:
            self.settle()
            raise
        self._watch_over()
        for outcome_ in outcomes:
            if isinstance(outcome_.error, errors.MasterDown):
                self._tell_trouble(outcome_.error.text)
                break
        return outcomes

    def settle(self) -> None:
        if self._engine is not None:
            self._engine.settle()

    def head(self) -> int:
        """As the database has it now, if it is still ours."""
        engine = self.engine
        with in_words():
            head = self._look_at_fence(engine)
        if head.fence != self.database.fence:
            raise errors.MasterDown(engine.ended)
        return head.revision

    def above(self) -> Sequence[str]:
        return ()

    def hear_peer(self, dbid: int, text: bytes) -> bytes:
        raise errors.NoPerm("the halves of a master's pair meet at their database")

    def servers_above(self) -> frozenset[int]:
        return frozenset()

    def note_accounts(self, notes: bytes) -> None:
        for note in notes_in(notes):
            if not self._keeps_logins:
                note.pop("login", None)
            self._notes.add(note)

    def note_sessions(self, records: bytes) -> None:
        self._sessions.add(records_in(records))

    def use_ticket(self, digest: str) -> bool:
        if self.engine.ended:
            raise errors.MasterDown(self.engine.ended)
        return self._tickets.take(digest)

    def take_pair(self, pair: Pair | None, own_dbid: int) -> None:
        """Whose other one it is."""
        if self._rank is not None:
            self._rank.take_pair(pair, own_dbid)

    def take_row(self, row: PairRow) -> int:
        revision = self.engine.take_pair(row)
        self.settle()
        return revision

    def switch_over(self) -> Later[None]:
        if self._rank is None:
            raise errors.NoRef(NO_PAIR)
        later = self._rank.switch_over()
        self._stand_by("it was asked to hand over")
        return later

    def watches(self) -> Sequence[Descriptor]:
        self.database.turn.begin()  # asked once in every turn
        return ()

    def tick(self, now_ms: int) -> None:
        """Lets go of old history, says that the database was heard, or looks whether it is back."""
        self._watch_over()
        if self._outage is None and self._rank is not None:
            self._tick_rank(self._rank, now_ms)
        if self._outage is not None or self._engine is None or self._engine.ended:
            return
        assert self._host is not None
        if self.database.turn.is_over or not self.retention.step_due(now_ms):
            return
        if self._engine.held_back:
            try:
                self._engine.publish()
            except StoreFull as error:
                log_event(log, "51354", reason=error)
        self.database.look_at_file()
        tell_clock(self._host, self.clock, self._engine.time_ms)
        age_now_ms = self.clock.age_now_ms(self._engine.time_ms)
        try:
            with in_words():
                self.retention.step(self.database.connection, age_now_ms)
                self._tickets.save(self.database.connection)
                self._look_at_fence(self._engine)
            self._engine.rotate_keys()
            self._engine.note_accounts(self._notes)
            self._sessions.write(self.database)
        except (errors.MasterDown, errors.UnknownOutcome) as error:
            self._tell_trouble(error.text)
        except errors.Busy:  # a full store has an alarm of its own; the next tick tries again
            pass
        else:
            self._host.end_alarm(ALARM_DATABASE_FAILS)
            if not self._engine.ended:
                self._heard(self._engine.revision, wall_ms())
        self._watch_over()

    def _tick_rank(self, rank: Rank, now_ms: int) -> None:
        """Moves the counter, or watches it."""
        assert self._host is not None
        if self.database.turn.is_over:
            return
        try:
            with in_words():
                if self._engine is not None and not rank.is_standing_by:
                    if rank.keep(now_ms, self._engine.revision):
                        self._heard(self._engine.revision, wall_ms())
                elif rank.is_standing_by:
                    head = rank.poll(now_ms)
                    if head is not None:
                        self._lead(self._host, head)
        except Replaced as error:
            self._stand_by(str(error))
        except errors.MasterDown as error:
            self._tell_trouble(error.text)
        except StoreFull:  # has an alarm of its own; the next tick tries again
            pass
        self._watch_over()

    def _look_at_fence(self, engine: Engine) -> Head:
        """The head; a master that was replaced says so before the first write finds it out."""
        head = self.database.head()
        if head.fence != self.database.fence:
            engine.end(f"{OTHER_MASTER}; this one takes no writes any more")
        return head

    def take_options(self, options: OwnOptions) -> None:
        """What the master's own Application says of what is kept and granted holds at once."""
        self.retention.limits = Limits.of(options)
        self._keeps_logins = bool(options.values.get("last-login", False))
        self._gives_default_access = options.number(DEFAULT_ACCESS) == 1
        if self._engine is not None:
            self._engine.gives_default_access = self._gives_default_access

    def _tell_trouble(self, text: str) -> None:
        """The database is there but refuses what is asked of it: shown until it takes something."""
        engine = self._engine
        if not (self.database.lost or engine is None or engine.ended):
            self._show_down(ALARM_DATABASE_FAILS, text)

    # -- loss and return -----------------------------------------------------------------------

    def _watch_over(self) -> None:
        """Notices that the database was lost or is back, or that another master has it."""
        if self._outage is not None:
            self._look_for_it(self._outage)
        elif self.database.lost:
            self.database.let_go()
            self._outage = Outage(self.database)
            if self._rank is not None:
                self._rank.lost()
            self._show_down(ALARM_DATABASE, self.database.lost)
        elif self._engine is not None and self._engine.ended and self._rank is not None:
            self._stand_by(self._engine.ended)
        elif self._engine is not None and self._engine.ended and not self._is_ended:
            self._is_ended = True
            self._show_down(ALARM_REPLACED, self._engine.ended)

    def _look_for_it(self, outage: Outage) -> None:
        found = outage.found()
        if found is None:
            self._tell_why(outage.why)
            return
        self.database.adopt(found.connection)
        try:
            self._go_on(found)
        except (OtherDatabase, FileLost, SQLAlchemyError) as error:
            self.database.note_loss(in_one_line(error))
            self.database.let_go()
            outage.look_on()
            return
        self._outage = None
        assert self._host is not None
        self._host.end_alarm(ALARM_DATABASE)
        self._watch_over()

    def _tell_why(self, why: str) -> None:
        """That it is away goes on, but for another reason: whom writes are refused is told that."""
        if why and why != self.database.lost:
            self.database.lost = why
            log_event(log, "51349", reason=why)

    def _go_on(self, found: Found) -> None:
        """Serves on if nobody took the database over meanwhile."""
        assert self._host is not None
        fence = self.database.fence
        is_standing_by = self._rank is not None and self._rank.is_standing_by
        if fence == 0 and not is_standing_by:  # lost before this process became its master
            self._open(self._host)
        elif found.head is None or found.head.stream != self._host.stream:
            check_content(self.database, self._host)
        elif self._rank is not None:
            self._seek(self._host, self._rank)
        elif found.head.fence == fence:
            self._serve(self._host)
        else:
            self.engine.end(
                "while the database was lost another master has taken it over, or it was replaced; "
                "this one takes no writes any more"
            )

    def _show_down(self, alarm: Alarm, reason: str) -> None:
        assert self._host is not None
        self._host.raise_alarm(alarm, reason=reason)
        self._host.set_link(LINK_DOWN, self._host.published, self._heard_ms)

    def _heard(self, revision: int, at_ms: int) -> None:
        assert self._host is not None
        self._heard_ms = at_ms
        for alarm in (ALARM_DATABASE, ALARM_DATABASE_FAILS, ALARM_REPLACED):
            self._host.end_alarm(alarm)
        until_ms = self._rank.lease.until_ms if self._rank is not None else 0
        self._host.set_link(LINK_DATABASE, revision, at_ms, until_ms)

    def reload(self) -> None:
        """The database's password is read by its driver whenever it connects."""

    def note_stop(self) -> None:
        self._is_leaving = True

    def close(self) -> None:
        if self._outage is not None:
            self._outage.give_up()
        elif self._engine is not None and not self._engine.ended:
            with contextlib.suppress(errors.CspError, SQLAlchemyError):
                while self._tickets.save(self.database.connection):
                    pass
                self._sessions.close(self.database)
        if self._rank is not None and self._is_leaving and not self.database.lost:
            self._rank.leave()
        self.database.close()
        if self.database.file is not None:
            self.database.file.release()

    def _committed(self, built: Built) -> None:
        self._heard(built.rows.revision, built.rows.time_ms)
