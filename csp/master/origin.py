"""The origin `database`: what the writer of a master asks of its database.

1. `start` leaves the store with exactly what the database holds, whatever was there before.
2. Every write is answered after its revision is published here.
3. The database belongs to this process alone for as long as its fence number is the newest.
4. While the database is lost, damaged or not the one that it was, what is in the store serves on;
   writes are refused with the reason.
5. A start that finds a database without a configuration never puts it in the place of one that
   survived in memory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from csp import errors
from csp._fastpath import StoreFull
from csp.exits import EXIT_NO_CONNECTION, EXIT_REFUSED, EXIT_USAGE
from csp.master import passwords
from csp.master.build import Built, build
from csp.master.clock import STEP_MS, MasterClock
from csp.master.commit import OTHER_MASTER, Replaced
from csp.master.database import Database, Head, in_words, said
from csp.master.engine import Engine
from csp.master.first_password import VARIABLE as PASSWORD_VARIABLE
from csp.master.first_password import tell_password
from csp.master.load import catch_up, load_everything
from csp.master.outage import Found, Outage
from csp.master.published import HostView
from csp.master.retention import Limits, Retention
from csp.master.seed import SeedPlan, seed_transaction
from csp.master.session_log import SessionLog
from csp.master.sqlite import is_unreadable
from csp.master.sqlite_file import FileLost
from csp.master.tickets import Tickets
from csp.master.token_keys import first_key
from csp.model.account_notes import Notes, notes_in
from csp.model.pairs import PairRow
from csp.model.principal import ITSELF
from csp.model.redundancy import Pair
from csp.model.requests import WriteOutcome, WriteRequest
from csp.model.sessions import records_in
from csp.model.types import CLASSES, FIRST_DBID, GRANTS_CLASS_ID
from csp.observe.clock import wall_ms
from csp.observe.events import log_event
from csp.process.context import ProcessContext, StartRefused
from csp.process.origin import StoreForOrigin
from csp.process.own_options import OwnOptions
from csp.process.polling import Descriptor
from csp.process.standing import NO_PAIR, Standing
from csp.store.alarms import ALARM_CLOCK, ALARM_DATABASE, ALARM_DATABASE_FAILS, ALARM_REPLACED
from csp.store.control import LINK_DATABASE, LINK_DOWN
from csp.tables.events import Alarm

DEFAULT_ACCESS: Final = "no-default-access"

log = logging.getLogger("csp.master")


class OtherDatabase(Exception):
    """The database holds no configuration, or not the one that this master served."""


class DatabaseOrigin:
    """The master's database, its rules and its history."""

    def __init__(
        self, address: str, plan: SeedPlan | None = None, *, must_restore_default: bool = False
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
            text = _in_one_line(error)
            if not host.loaded:
                raise StartRefused(_exit_code(error), f"--db: {text}") from error
            if isinstance(error, OtherDatabase) and not host.fence:
                self.close()
                raise StartRefused(EXIT_REFUSED, f"--db: {text}") from error
            self.database.note_loss(text)
            self._watch_over()
        host.show_standing(Standing())

    def _open(self, host: StoreForOrigin) -> None:
        """Becomes the database's master, and serves what it holds."""
        self._check_content(host)
        self._warn_of_mode()
        self.database.migrate()

        def note(number: int) -> None:
            host.fence = number

        try:
            head = self.database.take_fence(host.fence, note)
        except Replaced as error:
            self._serve_without_writing(host, error)
            return
        counters = self.database.counters()
        self.database.add_counters(cls.id for cls in CLASSES.values() if cls.id not in counters)
        if head.revision == 0:
            self._seed(head)
        self._serve(host)

    def _check_content(self, host: StoreForOrigin) -> None:
        """Makes a new file where nothing was served yet; OtherDatabase, or FileLost, otherwise."""
        file = self.database.file
        is_first = not host.loaded and not host.fence
        is_made = file is not None and not host.fence and file.create()
        if is_first:
            return
        stream = self.database.stream()
        if stream and (stream == host.stream or not host.fence or not host.loaded):
            return
        if is_made and file is not None:
            self.database.close()
            file.remove()
        held = f"stream {host.stream.hex()} at revision {host.published}"
        if stream:
            raise OtherDatabase(
                f"the database holds another configuration, stream {stream.hex()}; this master "
                f"serves {held}: put it back, or restart the master to take what is there"
            )
        raise OtherDatabase(
            f"the database holds no configuration, so it would begin a new stream, and {held} "
            f"is still in memory: put the database back, or begin anew with --forget-memory"
        )

    def _warn_of_mode(self) -> None:
        """An administrator may want it so, but should know what is in the file."""
        file = self.database.file
        mode = file.mode() if file is not None else 0
        if file is not None and mode & 0o077:
            log_event(log, "51344", path=file.path, mode=f"{mode:04o}")

    def _serve(self, host: StoreForOrigin) -> None:
        """Brings the store to what the database holds, under the fence that is ours."""
        view = HostView(host, self.database)
        held = f"stream {host.stream.hex()} revision {host.published} mark {host.mark:016x}"
        if not host.loaded:
            load_everything(self.database, host, view)
        elif not catch_up(self.database, host, view):
            found = load_everything(self.database, host, view)
            state = f"stream {found.stream.hex()} revision {found.revision} mark {found.mark:016x}"
            log_event(log, "51358", found=state, held=held)
        head = self.database.head()
        engine = Engine(self.database, view, head, self.clock.now_ms)
        engine.committed = self._committed
        engine.gives_default_access = self._gives_default_access
        self._tickets.load(self.database.connection)
        self._engine = engine
        self._add_missing_folders(engine)
        self._add_default_grants(engine)
        self._restore_default(engine)
        with contextlib.suppress(errors.CspError):  # then the tick tries, and tells of it
            engine.rotate_keys()
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

    def _add_missing_folders(self, engine: Engine) -> None:
        """An earlier release did not know all classes, so its tenants lack folders for some."""
        try:
            count = engine.add_missing_folders()
        except errors.CspError as error:
            log_event(log, "51352", reason=error.line)
        else:
            if count:
                log_event(log, "51353", count=count)

    def _add_default_grants(self, engine: Engine) -> None:
        """An earlier release knew no grants."""
        try:
            count = engine.add_default_grants()
        except errors.CspError as error:
            log_event(log, "51347", reason=error.line)
        else:
            if count:
                log_event(log, "51346", count=count)

    def _restore_default(self, engine: Engine) -> None:
        """Once, where the command line asks for it."""
        if not self._must_restore_default:
            return
        self._must_restore_default = False
        try:
            revision = engine.restore_default(os.environ.get(PASSWORD_VARIABLE, ""))
        except errors.CspError as error:
            raise errors.BadValue(f"--restore-default: {error.text}") from error
        log_event(log, "51348", revision=revision)

    def _seed(self, head: Head) -> None:
        given = self.plan.password or os.environ.get(PASSWORD_VARIABLE, "")
        plan = replace(self.plan, password=given or passwords.generate())
        tx = seed_transaction(plan)
        built = build(tx, self.database, passwords.Hasher(), ITSELF.actor, 1, head.mark, wall_ms())
        assert built is not None
        built.rows.token_keys = [first_key(1, self.clock.now_ms())]
        # Built-in numbers lie below those that the counters give; what is granted is noted there.
        built.rows.counters = [{"class_id_": GRANTS_CLASS_ID, "next_dbid": FIRST_DBID}]
        if not given:
            # Before the commit: a password that nobody was told would lock everybody out.
            tell_password(plan.password, self.address)
        self.database.commit([built.rows])

    @property
    def engine(self) -> Engine:
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
        return self.engine.revision

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

    def take_row(self, row: PairRow) -> int:
        revision = self.engine.take_pair(row)
        self.settle()
        return revision

    def switch_over(self) -> None:
        raise errors.NoRef(NO_PAIR)

    def watches(self) -> Sequence[Descriptor]:
        self.database.turn.begin()  # asked once in every turn
        return ()

    def tick(self, now_ms: int) -> None:
        """Lets go of old history, says that the database was heard, or looks whether it is back."""
        self._watch_over()
        if self._outage is not None or self._engine is None or self._engine.ended:
            return
        assert self._host is not None
        if self.database.turn.is_over or not self.retention.step_due(now_ms):
            return
        if self._engine.held_back:
            self._publish_held()
        self.database.look_at_file()
        self._look_at_clock(self._engine)
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

    def _look_at_fence(self, engine: Engine) -> None:
        """A master that was replaced says so before the first write finds it out."""
        if self.database.head().fence != self.database.fence:
            engine.end(f"{OTHER_MASTER}; this one takes no writes any more")

    def take_options(self, options: OwnOptions) -> None:
        """What the master's own Application says of what is kept and granted holds at once."""
        self.retention.limits = Limits.of(options)
        self._keeps_logins = bool(options.values.get("last-login", False))
        self._gives_default_access = options.number(DEFAULT_ACCESS) == 1
        if self._engine is not None:
            self._engine.gives_default_access = self._gives_default_access

    def _look_at_clock(self, engine: Engine) -> None:
        assert self._host is not None
        ahead_ms = self.clock.ahead_ms(engine.time_ms)
        if ahead_ms <= STEP_MS:
            self._host.end_alarm(ALARM_CLOCK)
        elif ahead_ms > engine.time_ms - self.clock.now_ms():
            reason = "it has just stepped; until it is believed, changes keep to the time before"
            self._host.raise_alarm(ALARM_CLOCK, ahead_ms=ahead_ms, reason=reason)
        else:
            reason = "the last change has a time of the future; the next ones get the same"
            self._host.raise_alarm(ALARM_CLOCK, ahead_ms=ahead_ms, reason=reason)

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
            self._show_down(ALARM_DATABASE, self.database.lost)
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
            self.database.note_loss(_in_one_line(error))
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
        if fence == 0:  # lost before this process became its master
            self._open(self._host)
        elif found.head is None or found.head.stream != self._host.stream:
            self._check_content(self._host)
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
        self._host.set_link(LINK_DATABASE, revision, at_ms)

    def _publish_held(self) -> None:
        try:
            self.engine.publish()
        except StoreFull as error:
            log_event(log, "51354", reason=error)

    def reload(self) -> None:
        """The database's password is read by its driver whenever it connects."""

    def close(self) -> None:
        if self._outage is not None:
            self._outage.give_up()
        elif self._engine is not None and not self._engine.ended:
            with contextlib.suppress(errors.CspError, SQLAlchemyError):
                while self._tickets.save(self.database.connection):
                    pass
                self._sessions.close(self.database)
        self.database.close()

    def _committed(self, built: Built) -> None:
        self._heard(built.rows.revision, built.rows.time_ms)


def _in_one_line(error: Exception) -> str:
    if isinstance(error, errors.CspError):
        return error.text
    if isinstance(error, OtherDatabase):
        return str(error)
    verb = "read" if is_unreadable(error) else "opened"
    return f"the database can't be {verb}: {said(error)}"


def _exit_code(error: Exception) -> int:
    if isinstance(error, OtherDatabase):
        return EXIT_REFUSED
    return EXIT_USAGE if is_unreadable(error) else EXIT_NO_CONNECTION
