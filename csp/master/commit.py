"""Makes changes durable: one database transaction for one change, or for a group of them.

1. Head, objects, names, references, accounts, grants, history and write ids move together, or
   nothing does; but that a change is not refused because its record of the history can't be written
   (Database.commit).
2. The head row is moved first, if fence and revision are those that this master left there: else
   another one has written, and nothing is stored.
3. Each change of a group keeps its own revision, mark, entry and write id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from csp.master import statements
from csp.master.driver import Driver
from csp.master.rows import ChangeRows, Row, joined
from csp.observe import failpoint

# Where a change can be interrupted (csp.observe.failpoint), in this order.
FAILPOINTS: Final = (
    "master.begin",
    "master.after_head",
    "master.after_names_gone",
    "master.after_refs_gone",
    "master.after_refs_cut",
    "master.after_deleted",
    "master.after_updated",
    "master.after_created",
    "master.after_names",
    "master.after_refs",
    "master.after_accounts_gone",
    "master.after_accounts",
    "master.after_grants_gone",
    "master.after_grants",
    "master.after_counters",
    "master.after_entry",
    "master.after_history",
    "master.before_commit",
    "master.after_commit",
    "master.after_apply",
)


OTHER_MASTER: Final = "another master has taken this database over"


class Replaced(Exception):
    """Another master took this database over; this one must not write any more."""


def send_changes(
    driver: Driver, connection: Connection, changes: Sequence[ChangeRows], fence: int
) -> None:
    """Runs the statements of these changes inside a transaction of the caller.

    Replaced where the head is not as this master left it; IntegrityError and the like leave it to
    the caller to end the transaction.
    """
    steps = joined(changes)
    last = steps[-1]
    head = {
        "fence_": fence,
        "revision_": last.revision - last.moves,
        "moves": last.moves,
        "mark": f"{last.mark:016x}",
        "time_ms": last.time_ms,
    }
    with driver.errors_of(connection), driver.together(connection):
        moved = driver.run(connection, statements.MOVE_HEAD, [head])
        failpoint.passed("master.after_head")
        for step in steps:
            for statement, values, place in _statements(step):
                if values:
                    driver.run(connection, statement, values)
                failpoint.passed(place)
    if moved.rowcount != 1:
        raise Replaced(OTHER_MASTER)


def _statements(rows: ChangeRows) -> Iterator[tuple[Any, list[Row], str]]:
    # What goes comes first: a name may move from one object to another in one change.
    yield statements.DELETE_NAMES, rows.names_gone, "master.after_names_gone"
    yield statements.DELETE_REFS, rows.refs_gone, "master.after_refs_gone"
    yield statements.DELETE_REF, rows.refs_cut, "master.after_refs_cut"
    yield statements.DELETE_OBJECT, rows.deleted, "master.after_deleted"
    yield statements.UPDATE_OBJECT, rows.updated, "master.after_updated"
    yield statements.INSERT["objects"], rows.created, "master.after_created"
    yield statements.INSERT["unique_names"], rows.names, "master.after_names"
    yield statements.INSERT["refs"], rows.refs, "master.after_refs"
    yield statements.DELETE_ACCOUNT, rows.accounts_gone, "master.after_accounts_gone"
    yield statements.INSERT["accounts"], rows.accounts, "master.after_accounts"
    yield statements.DELETE_GRANTS, rows.grants_gone, "master.after_grants_gone"
    yield statements.INSERT["grants"], rows.grants, "master.after_grants"
    yield statements.DELETE_TOKEN_KEY, rows.token_keys_gone, "master.after_accounts"
    yield statements.INSERT["token_keys"], rows.token_keys, "master.after_accounts"
    yield statements.DELETE_PAIR, rows.pairs_gone, "master.after_accounts"
    yield statements.INSERT["pairs"], rows.pairs, "master.after_accounts"
    yield statements.MOVE_COUNTER, rows.counters, "master.after_counters"
    yield statements.INSERT["entries"], rows.entries, "master.after_entry"
    yield statements.INSERT["history"], rows.history, "master.after_history"
    yield statements.INSERT["writes"], rows.writes, "master.before_commit"
