"""Carries out write requests: reads the commands, applies the rules, commits, publishes.

1. A request is one transaction with one revision, or nothing; an error leaves no trace.
2. Rules are checked when all commands of the transaction are known.
3. The database commits before the store hears of anything.
4. A request that changes nothing takes no revision.
5. Whatever fails before the commit is an answer and leaves no trace; after it, a fault ends the
   process, and its successor brings the store to what the database holds.
6. A master that was replaced takes no writes any more.  One whose database was lost takes none
   until the origin has found it again, and settled a commit that was under way, with a new engine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from csp import errors
from csp._fastpath import StoreFull
from csp.master import outcome
from csp.master.build import Built, build, counter_rows
from csp.master.database import ChangeRows, Database, Head, Replaced, in_words, said
from csp.master.heap import without_cycle_search
from csp.master.passwords import Hasher
from csp.master.published import HostView
from csp.master.report import report_changes
from csp.model.principal import ITSELF, Principal
from csp.model.requests import WriteOutcome, WriteRequest
from csp.observe import failpoint
from csp.observe.faults import told_fault
from csp.rules.assemble import assemble, finish
from csp.rules.authorize import authorize
from csp.rules.complete import add_default_folders
from csp.rules.forward import resolve
from csp.rules.names import check_published
from csp.rules.transaction import Transaction

log = logging.getLogger("csp.master")
Argument = TypeVar("Argument")


class Engine:
    """The one place where the master's state moves."""

    def __init__(
        self, database: Database, view: HostView, head: Head, clock_ms: Callable[[], int]
    ) -> None:
        self.database = database
        self.view = view
        self.clock_ms = clock_ms
        self.hasher = Hasher()
        self.revision = head.revision
        self.mark = head.mark
        self.time_ms = head.time_ms
        self.next_dbids = database.counters()
        self.committed: Callable[[Built], None] = lambda _built: None
        self._ended: errors.CspError | None = None
        self._unpublished: list[Built] = []
        self._is_committed = False  # the request that is being written

    def write(self, request: WriteRequest) -> WriteOutcome:
        """One request, answered; whatever is wrong with it is in the answer."""
        with without_cycle_search():
            return self._answer(request)

    def _answer(self, request: WriteRequest) -> WriteOutcome:
        self._is_committed = False
        try:
            if self._ended is not None:
                raise self._ended
            self.database.check_there()
            if self._unpublished:
                raise errors.Busy("the store is full and has changes to take before this one")
            with in_words():
                revision, results = self._write(request)
        except errors.CspError as error:
            return WriteOutcome(0, (), error)
        except Exception as error:
            if self._is_committed:
                raise  # the store lacks what the database has: a successor brings it there
            says = said(error) if isinstance(error, SQLAlchemyError) else ""
            return WriteOutcome(0, (), told_fault(log, "a write", error, says=says))
        return WriteOutcome(revision, tuple(results))

    def _write(self, request: WriteRequest) -> tuple[int, Sequence[int]]:
        write_id = request.write_id
        known = outcome.find_answer(self.database, write_id) if write_id else None
        if known is not None:
            return known
        tx = Transaction(self.view, self.next_dbids)
        try:
            for tx.command, command in enumerate(request.commands, 1):
                authorize(request.principal, command)
            created = resolve(request.commands, tx, forward=request.kind == "exec")
            assemble(tx, request.commands, created, self.revision)
            results = [one.dbid if one else 0 for one in created]
            return self._finish(request, tx, results), results
        except errors.CspError as error:
            if request.kind != "exec" or tx.command < 1:
                raise
            raise errors.ExecAbort(f"{error.WORD} command {tx.command}: {error.text}") from error

    def add_missing_folders(self) -> int:
        """Makes the default folders that classes of this release lack, once; how many."""
        tx = Transaction(self.view, self.next_dbids)
        for tenant in sorted({tenant for tenant, _ in self.view.root_folders}):
            add_default_folders(tx, tenant)
        if tx.touched:
            finish(tx)
            with in_words():
                self._finish(WriteRequest(0, ITSELF, "", "one", ()), tx, ())
        return len(tx.touched)

    # -- committing ----------------------------------------------------------------------------

    def _finish(self, request: WriteRequest, tx: Transaction, results: Sequence[int]) -> int:
        """Builds, commits and publishes; the revision at which the request holds."""
        self.time_ms = max(self.clock_ms(), self.time_ms)
        actor = request.principal.as_actor()
        built = build(
            tx, self.database, self.hasher, actor, self.revision + 1, self.mark, self.time_ms
        )
        revision = built.rows.revision if built else self.revision
        remember = []
        if request.write_id:
            remember.append(outcome.row_of(request.write_id, self.time_ms, revision, results))
        if built is None:
            left = ChangeRows(revision, self.mark, self.time_ms, writes=remember)
            left.counters = counter_rows(tx)
            if left.counters or left.writes:
                self._guarded(self.database.commit_nothing, left)
                self.next_dbids.update(tx.given)
            return revision
        built.rows.history["write_id"] = request.write_id
        built.rows.writes = remember
        self._prepare(built)
        try:
            self._commit(built, tx, request.principal)
        except BaseException:
            self.view.host.abandon()
            raise
        return revision

    def _prepare(self, built: Built) -> None:
        try:
            self.view.host.prepare(built.entry, built.accounts)
        except StoreFull as error:
            raise errors.Busy(f"{error}; nothing was changed") from error

    def _commit(self, built: Built, tx: Transaction, principal: Principal) -> None:
        try:
            self._guarded(self.database.commit_change, built.rows)
        except IntegrityError:
            check_published(tx, lambda name: self.database.name_owner(*name))
            raise
        self._is_committed = True
        self.revision, self.mark = built.rows.revision, built.rows.mark
        self.next_dbids.update(tx.given)
        for touched in tx.touched.values():
            self.view.note(touched.cls.id, touched.dbid, touched.after)
        self._unpublished.append(built)
        try:
            self.publish()
        finally:
            report_changes(built.changes, principal)
        self.committed(built)

    def publish(self) -> None:
        """Hands the store what the database has committed, in order; also retried by a tick."""
        while self._unpublished:
            built = self._unpublished[0]
            try:
                self.view.host.apply(built.entry, built.accounts)
            except StoreFull as error:
                raise errors.UnknownOutcome(
                    f"revision {built.rows.revision} is committed and will be published when the "
                    f"store has room: {error}"
                ) from error
            del self._unpublished[0]
            failpoint.passed("master.after_apply")

    @property
    def held_back(self) -> bool:
        """Whether the store lacks changes that the database has."""
        return bool(self._unpublished)

    def _guarded(self, action: Callable[[Argument], None], argument: Argument) -> None:
        """Runs a database action; errors that a client can't help come out with words for it."""
        try:
            action(argument)
        except Replaced as error:
            self.end(f"{error}; this one takes no writes any more")
            assert self._ended is not None
            raise self._ended from error
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            if not self._has_committed(error):
                raise errors.MasterDown(
                    f"the database can't take the change: {said(error)}"
                ) from error

    def end(self, reason: str) -> None:
        """Refuses all writes from now on."""
        self._ended = errors.MasterDown(reason)

    @property
    def ended(self) -> str:
        """Why this master takes no writes any more; empty while it does."""
        return self._ended.text if self._ended else ""

    def _has_committed(self, error: SQLAlchemyError) -> bool:
        """The database failed, perhaps after its commit: asks it whether the head has moved."""
        if not self.database.is_committing:
            return False
        if self.database.lost:
            raise self._unknown(error)
        try:
            return self.database.head().revision != self.revision
        except SQLAlchemyError:
            if not self.database.lost:
                self.end(
                    f"the database failed ({said(error)}) and does not answer; restart the master"
                )
            raise self._unknown(error) from error

    @staticmethod
    def _unknown(error: SQLAlchemyError) -> errors.UnknownOutcome:
        return errors.UnknownOutcome(
            f"the database was lost while it committed: {said(error)}; ask for the outcome"
        )
