"""Carries out write requests: groups them, commits each group, publishes its changes.

1. A request is one change with one revision, or nothing; an error leaves no trace.
2. Rules are checked when all commands of a request are known, on the state that those before it
   in the group leave (group.py).
3. The database commits before the store hears of anything.  A group is one database transaction;
   where that is refused, its requests are done one by one.
4. A request that changes nothing takes no revision.
5. Whatever fails before the commit is an answer and leaves no trace; after it, a fault ends the
   process, and its successor brings the store to what the database holds.
6. A master that was replaced takes no writes any more.  One whose database was lost takes none
   until the origin has found it again, and settled a commit that was under way, with a new engine.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from csp import errors
from csp._fastpath import StoreFull
from csp.master.account_facts import STEP_MAX, build_facts
from csp.master.build import Built
from csp.master.commit import Replaced
from csp.master.database import Database, Head, in_words, said
from csp.master.group import Group, Member, as_exec, fault_of
from csp.master.heap import without_cycle_search
from csp.master.outcome import Outcomes
from csp.master.overlay import Overlay
from csp.master.pairs import build_row, check_row, pairs
from csp.master.passwords import Hasher, strong
from csp.master.published import HostView
from csp.master.report import report_changes
from csp.master.taken import refuse_taken
from csp.master.token_keys import build_rotation, is_due, token_keys
from csp.model.account_notes import Notes
from csp.model.pairs import PairRow
from csp.model.principal import ITSELF, Principal
from csp.model.requests import OUTCOME, WriteOutcome, WriteRequest
from csp.model.sealing import Sealer, sealing_key
from csp.model.types import CLASSES, FIRST_DBID, GRANTS_CLASS_ID
from csp.observe import failpoint
from csp.observe.events import log_event
from csp.rules.assemble import finish
from csp.rules.complete import add_default_folders
from csp.rules.default_grants import add_default_grants, restore_default_account
from csp.rules.transaction import Transaction

APPLICATION: Final = CLASSES["CfgApplication"]
ALONE_COMMANDS: Final = 100  # a request of more is a group by itself: its names are many to look up

log = logging.getLogger("csp.master")


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
        self.gives_default_access = False  # whether new persons are Users of their tenant
        self.committed: Callable[[Built], None] = lambda _built: None
        self._digest_key = database.digest_key()
        self._sealing = sealing_key(self._digest_key)
        self._sealer = Sealer(self._sealing)
        self._token_keys = token_keys(database)
        self._pairs = pairs(database)
        self._ended: errors.CspError | None = None
        self._unpublished: list[Built] = []
        self._unreported: list[tuple[Built, Principal]] = []  # of one group, or of the start

    def write(self, requests: Sequence[WriteRequest]) -> list[WriteOutcome]:
        """One group, answered; whatever is wrong with a request is in its answer."""
        outcomes: list[WriteOutcome] = []
        with without_cycle_search():
            for is_large, some in groupby(requests, _is_large):
                for part in ([one] for one in some) if is_large else (list(some),):
                    outcomes += self._write(part, outcomes[-1:])
        return outcomes

    def _write(
        self, requests: list[WriteRequest], before: list[WriteOutcome]
    ) -> list[WriteOutcome]:
        """One group: together, else one by one."""
        outcomes = self._together(requests, before)
        if outcomes is not None:
            return outcomes
        outcomes = []
        for request in requests:
            one = self._together([request], outcomes[-1:] or before)
            assert one is not None
            outcomes += one
        return outcomes

    def _together(
        self, requests: list[WriteRequest], before: list[WriteOutcome]
    ) -> list[WriteOutcome] | None:
        """All in one database transaction; None where they have to go one by one.

        Where the database failed the request before them, it is not asked again in this turn.
        """
        group = self._new_group(checks_names=len(requests) > 1)
        try:
            if before and isinstance(before[0].error, errors.MasterDown):
                raise before[0].error
            self._check_open()
            with in_words():
                for request in requests:
                    group.add(request)
            is_done = self._commit(group)
        except errors.CspError as error:
            return _failed(requests, group, error)
        except Exception as error:
            if self.database.is_committing:
                raise
            if len(requests) == 1:
                return [WriteOutcome(0, (), fault_of(error))]
            return None
        if not is_done:
            return None
        return self._published(group)

    def _new_group(self, *, checks_names: bool) -> Group:
        return Group(
            Overlay(self.view, self.next_dbids),
            Outcomes(self.database, self._digest_key),
            self.hasher,
            self._sealer,
            (self.revision, self.mark),
            max(self.clock_ms(), self.time_ms),
            checks_names=checks_names,
            gives_default_access=self.gives_default_access,
        )

    def _check_open(self) -> None:
        if self._ended is not None:
            raise self._ended
        self.database.check_there()
        if self._unpublished:
            raise errors.Busy("the store is full and has changes to take before this one")

    def add_missing_folders(self) -> int:
        """Makes the default folders that classes of this release lack, once; how many."""
        tx = Transaction(self.view, self.next_dbids)
        for tenant in self._tenants():
            add_default_folders(tx, tenant)
        count = len(tx.touched)
        if count:
            self.change_itself(tx)
        return count

    def add_default_grants(self) -> int:
        """Grants all tenants what they come with, where an earlier release made the database.

        How many objects have grants then; the number that their records begin with says that it
        was not done yet.
        """
        if self.next_dbids[GRANTS_CLASS_ID] >= FIRST_DBID:
            return 0
        tx = Transaction(self.view, {**self.next_dbids, GRANTS_CLASS_ID: FIRST_DBID})
        for tenant in self._tenants():
            add_default_grants(tx, tenant)
        self.change_itself(tx)
        return len(tx.granted)

    def restore_default(self, password: str) -> int:
        """Makes the first account one that may do everything, with this password; the revision."""
        tx = Transaction(self.view, self.next_dbids)
        tx.command = 1
        restore_default_account(tx, self._tenants(), strong(password))
        return self.change_itself(tx)

    def _tenants(self) -> list[int]:
        return sorted({tenant for tenant, _ in self.view.root_folders})

    def change_itself(self, tx: Transaction) -> int:
        """Carries out a transaction of the server's own; its revision."""
        finish(tx)
        group = self._new_group(checks_names=False)
        with in_words():
            group.add_transaction(WriteRequest(0, ITSELF, "", "one", ()), tx)
            self._commit(group)
        (outcome,) = self._published(group)
        self.settle()
        return outcome.revision

    def rotate_keys(self) -> bool:
        """Makes a new token key where it is time for one; whether it did."""
        group = self._new_group(checks_names=False)
        if not is_due(self._token_keys, group.time_ms):
            return False
        self._check_open()
        built, keys = build_rotation(
            self._token_keys, self._sealing, self.revision + 1, self.mark, group.time_ms
        )
        self._write_records(group, built)
        self._token_keys = keys
        return True

    def take_pair(self, wanted: PairRow) -> int:
        """Makes this the row of a pair of proxies; its revision. Raises Conflict where its number
        does not follow the present one, NoRef or BadValue where it is none of a pair.
        """
        group = self._new_group(checks_names=False)
        self._check_open()
        check_row(wanted, self._pairs, lambda dbid: self.view.get(APPLICATION.id, dbid))
        head = self.revision + 1, self.mark, group.time_ms
        built, rows = build_row(wanted, self._pairs, *head)
        self._write_records(group, built)
        self._pairs = rows
        return self.revision

    def note_accounts(self, notes: Notes) -> None:
        """Puts some of what servers note of accounts into their records."""
        if not len(notes) or self._unpublished:
            return
        group = self._new_group(checks_names=False)
        some = notes.take(STEP_MAX)
        try:
            self._check_open()
            head = self.revision + 1, self.mark, group.time_ms
            with in_words():
                built = build_facts(self.database, some, *head)
            if built is not None:
                self._write_records(group, built)
        except errors.CspError:
            notes.add_all(some)  # what was done nevertheless is no news
            raise

    def _write_records(self, group: Group, built: Built) -> None:
        """Commits and publishes a change that concerns no object."""
        group.add_built(WriteRequest(0, ITSELF, "", "one", ()), built)
        with in_words():
            self._commit(group)
        self._unpublished.append(built)
        with contextlib.suppress(StoreFull):  # the origin tells of it, and tries again
            self.publish()
        self.committed(built)

    # -- committing ----------------------------------------------------------------------------

    def _commit(self, group: Group) -> bool:
        """Makes the group durable; False where its requests have to go one by one.

        Raises what the requests are refused with: nothing was done then, or (UnknownOutcome) it is
        not known.
        """
        rows = group.rows
        if not rows:
            return True
        if not self._prepare(group):
            return False
        try:
            try:
                self.database.commit(rows)
            except (IntegrityError, DataError):
                if len(group.members) > 1:
                    log_event(log, "51355", count=len(group.members))
                    self.view.host.abandon()
                    return False
                self._explain(group.members[0])
                raise
            except Replaced as error:
                self.end(f"{error}; this one takes no writes any more")
                assert self._ended is not None
                raise self._ended from error
            except SQLAlchemyError as error:
                if not self._has_committed(error):
                    raise errors.MasterDown(
                        f"the database can't take the change: {said(error)}"
                    ) from error
        except BaseException:
            self.view.host.abandon()
            raise
        self.revision, self.mark, self.time_ms = group.revision, group.mark, group.time_ms
        return True

    def _prepare(self, group: Group) -> bool:
        """Takes the memory for all changes; False where there is not room enough for a group."""
        built = group.built
        if not built:
            return True
        try:
            self.view.host.prepare([(one.entry, one.accounts) for one in built])
        except StoreFull as error:
            if len(group.members) > 1:
                return False
            raise errors.Busy(f"{error}; nothing was changed") from error
        return True

    def _explain(self, member: Member) -> None:
        """Raises Unique where that is why the database refused a request."""
        if member.tx is None or member.rows is None:
            return
        try:
            refuse_taken(member.tx, member.rows.names, self.database)
        except errors.Unique as error:
            raise as_exec(member.request, member.tx, error) from None

    def _published(self, group: Group) -> list[WriteOutcome]:
        """Hands the store what was committed, and answers."""
        outcomes: list[WriteOutcome] = []
        for member in group.members:
            outcome = member.outcome
            if member.tx is not None:
                self.next_dbids.update(member.tx.given)
            if member.built is not None and member.tx is not None:
                for granted in member.built.granted:
                    self.view.note_grants(granted.place)
                for touched in member.tx.touched.values():
                    self.view.note(touched.cls.id, touched.dbid, touched.after)
                self._unpublished.append(member.built)
                try:
                    self.publish(settle=False)
                except StoreFull as error:
                    outcome = WriteOutcome(0, (), _held_back(member.built, error))
                finally:
                    self._unreported.append((member.built, member.request.principal))
            outcomes.append(outcome)
        built = group.built
        if built:
            self.committed(built[-1])
        return outcomes

    def publish(self, *, settle: bool = True) -> None:
        """Hands the store what the database has committed, in order; StoreFull: later again."""
        while self._unpublished:
            built = self._unpublished[0]
            self.view.host.apply(built.entry, built.accounts, settle=settle)
            del self._unpublished[0]
            failpoint.passed("master.after_apply")

    def settle(self) -> None:
        """Has everybody hear of what was published, and logs it; no answer waits for that.

        The author's worker wakes for the answer, and finds the change: it is not rung as well.
        """
        self.view.host.settle()
        if self._unreported:
            reported, self._unreported = self._unreported, []
            for built, principal in reported:
                report_changes(built.changes, built.granted, principal, built.rows.revision)

    @property
    def held_back(self) -> bool:
        """Whether the store lacks changes that the database has."""
        return bool(self._unpublished)

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
            self.database.note_loss(error)  # whoever finds it again asks what became of it
            raise self._unknown(error) from error

    @staticmethod
    def _unknown(error: SQLAlchemyError) -> errors.UnknownOutcome:
        return errors.UnknownOutcome(
            f"the database was lost while it committed: {said(error)}; ask for the outcome"
        )


def _held_back(built: Built, error: StoreFull) -> errors.UnknownOutcome:
    return errors.UnknownOutcome(
        f"revision {built.rows.revision} is committed and will be published when the store has "
        f"room: {error}"
    )


def _is_large(request: WriteRequest) -> bool:
    return len(request.commands) > ALONE_COMMANDS


def _failed(
    requests: Sequence[WriteRequest], group: Group, error: errors.CspError
) -> list[WriteOutcome]:
    """What a group is answered that was not committed, or perhaps was.

    Who was refused by rules alone keeps that answer; who was so because of a change of the group
    is told that nothing was done for him, whatever became of that change.
    """
    outcomes = []
    is_unknown = isinstance(error, errors.UnknownOutcome)
    for at, request in enumerate(requests):
        member = group.members[at] if at < len(group.members) else None
        if member is not None and not member.is_provisional:
            outcomes.append(member.outcome)
        elif is_unknown and request.kind == OUTCOME:
            outcomes.append(WriteOutcome(0, text="unknown"))
        elif is_unknown and member is not None and member.outcome.error is not None:
            outcomes.append(WriteOutcome(0, (), errors.MasterDown(error.text)))
        else:
            outcomes.append(WriteOutcome(0, (), error))
    return outcomes
