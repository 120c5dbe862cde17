"""Puts a group of write requests together: each as its own change, on top of those before it.

1. A request that is refused takes nothing with it: the next one is put on top of those before.
2. A name that another object holds is found here, not by the database, where several are together.
3. What was said on the strength of a change of the group holds only once that is committed.
4. An answer that needs no commit is given as it is; all others are provisional until then.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from csp import errors
from csp.master.build import Built, build, counter_rows
from csp.master.database import said
from csp.master.outcome import Outcomes
from csp.master.overlay import Overlay
from csp.master.passwords import Hasher
from csp.master.rows import ChangeRows
from csp.master.taken import refuse_taken
from csp.model.requests import OUTCOME, WriteOutcome, WriteRequest
from csp.model.sealing import Sealer
from csp.observe.faults import told_fault
from csp.rules.assemble import assemble
from csp.rules.author import author_of
from csp.rules.forward import resolve
from csp.rules.transaction import Transaction

log = logging.getLogger("csp.master")


@dataclass(slots=True)
class Member:
    """One request, and what becomes of it if the group is committed."""

    request: WriteRequest
    outcome: WriteOutcome
    leans: bool  # on changes before it in the group
    tx: Transaction | None = None
    built: Built | None = None  # None: no object changes
    rows: ChangeRows | None = None

    @property
    def is_provisional(self) -> bool:
        """Whether its answer depends on the commit."""
        return self.leans or self.rows is not None


class Group:
    """Requests that are committed together."""

    def __init__(
        self,
        overlay: Overlay,
        outcomes: Outcomes,
        hasher: Hasher,
        sealer: Sealer,
        head: tuple[int, int],
        time_ms: int,
        *,
        checks_names: bool,
        gives_default_access: bool = False,
    ) -> None:
        self.members: list[Member] = []
        self.revision, self.mark = head
        self.time_ms = time_ms
        self._overlay = overlay
        self._outcomes = outcomes
        self._hasher = hasher
        self._sealer = sealer
        self._checks_names = checks_names
        self._gives_default_access = gives_default_access
        self._has_rows = False

    @property
    def rows(self) -> list[ChangeRows]:
        """All that is to be committed, in order."""
        return [one.rows for one in self.members if one.rows is not None]

    @property
    def built(self) -> list[Built]:
        """All that is to be published, in order."""
        return [one.built for one in self.members if one.built is not None]

    def add(self, request: WriteRequest) -> Member:
        """Puts one more on top; MasterDown where the database can't be asked."""
        leans = self._has_rows
        tx = Transaction(self._overlay, self._overlay.next_dbids)
        tx.gives_default_access = self._gives_default_access
        tx.sealer = self._sealer
        try:
            if request.kind == OUTCOME:
                member = self._asked(request, leans)
            else:
                member = self._written(request, tx, leans)
        except (errors.MasterDown, OperationalError, InterfaceError, MemoryError):
            raise  # it is not this request that fails
        except errors.CspError as error:
            refused = as_exec(request, tx, error)
            member = Member(request, WriteOutcome(0, (), refused), leans)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's alone
            member = Member(request, WriteOutcome(0, (), fault_of(error)), leans)
        self._take(member)
        return member

    def add_transaction(self, request: WriteRequest, tx: Transaction) -> Member:
        """Puts a transaction on top that the server itself has put together."""
        member = self._finished(request, tx, (), self._has_rows)
        self._take(member)
        return member

    def add_built(self, request: WriteRequest, built: Built) -> None:
        """Puts a change on top that concerns no object."""
        rows = built.rows
        self._take(Member(request, WriteOutcome(rows.revision), False, None, built, rows))
        self.revision, self.mark = rows.revision, rows.mark

    def _take(self, member: Member) -> None:
        self.members.append(member)
        self._has_rows = self._has_rows or member.rows is not None

    def _asked(self, request: WriteRequest, leans: bool) -> Member:
        text, row = self._outcomes.ask(request, self.time_ms)
        member = Member(request, WriteOutcome(0, text=text), leans)
        if row is not None:
            member.rows = self._unmoved()
            member.rows.writes.append(row)
        return member

    def _written(self, request: WriteRequest, tx: Transaction, leans: bool) -> Member:
        if request.write_id:
            known = self._outcomes.answer(request)
            if known is not None:
                return Member(request, WriteOutcome(known.revision, known.results), leans)
        tx.author = author_of(tx, self._overlay, request.principal)
        created = resolve(request.commands, tx, forward=request.kind == "exec")
        assemble(tx, request.commands, created, self.revision)
        results = [one.dbid if one else 0 for one in created]
        return self._finished(request, tx, results, leans)

    def _finished(
        self, request: WriteRequest, tx: Transaction, results: Sequence[int], leans: bool
    ) -> Member:
        actor = request.principal.actor
        head = self.revision + 1, self.mark, self.time_ms
        built = build(tx, self._overlay, self._hasher, actor, *head, self._overlay)
        if built is not None and self._checks_names:
            refuse_taken(tx, built.rows.names, self._overlay)
        revision = self.revision + 1 if built is not None else self.revision
        member = Member(request, WriteOutcome(revision, tuple(results)), leans, tx, built)
        rows = built.rows if built is not None else self._unmoved()
        rows.counters = counter_rows(tx)
        if request.write_id:
            row = self._outcomes.remember(request, self.time_ms, revision, results)
            rows.writes.append(row)
        if not rows.is_empty:
            member.rows = rows
        if built is not None:
            rows.history[0]["write_id"] = request.write_id
            self.revision, self.mark = rows.revision, rows.mark
            self._overlay.take(tx, built)
        else:
            self._overlay.next_dbids.update(tx.given)
        return member

    def _unmoved(self) -> ChangeRows:
        """Rows of something that changes no object: the head stays where it is."""
        return ChangeRows(self.revision, self.mark, self.time_ms, moves=0)


def as_exec(
    request: WriteRequest, tx: Transaction | None, error: errors.CspError
) -> errors.CspError:
    """The error as its author reads it: of a transaction, with the command that it belongs to."""
    if request.kind != "exec" or tx is None or tx.command < 1:
        return error
    found = errors.ExecAbort(f"{error.WORD} command {tx.command}: {error.text}")
    found.__cause__ = error
    return found


def fault_of(error: Exception) -> errors.CspError:
    """What the author of a write is told that failed inside."""
    says = said(error) if isinstance(error, SQLAlchemyError) else ""
    return told_fault(log, "a write", error, says=says)
