"""Holds the rows of changes on their way to the database, and joins those of several changes.

1. Rows of changes that touch different objects go together, each kind in one call: what goes comes
   before what comes, so a name may move from one object to another.
2. A change that touches an object again stands behind the rows of those before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from csp.model.entry import mark_of
from csp.model.types import GRANTS_CLASS_ID

Row = dict[str, Any]


@dataclass
class ChangeRows:
    """All rows of one change, ready to be sent to the database.

    `moves` is how many revisions the head goes on: 1, or 0 where no object changes.
    """

    revision: int
    mark: int
    time_ms: int
    created: list[Row] = field(default_factory=list)
    updated: list[Row] = field(default_factory=list)
    deleted: list[Row] = field(default_factory=list)  # class_id_, dbid_
    names: list[Row] = field(default_factory=list)
    names_gone: list[Row] = field(default_factory=list)  # objects whose names go first
    refs: list[Row] = field(default_factory=list)
    refs_gone: list[Row] = field(default_factory=list)  # objects that go, with all they refer to
    refs_cut: list[Row] = field(default_factory=list)  # single references, of objects that stay
    accounts: list[Row] = field(default_factory=list)
    accounts_gone: list[Row] = field(default_factory=list)
    grants: list[Row] = field(default_factory=list)
    grants_gone: list[Row] = field(default_factory=list)  # number_: whole lists
    counters: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)
    writes: list[Row] = field(default_factory=list)
    token_keys: list[Row] = field(default_factory=list)  # of a change that is never in a group
    token_keys_gone: list[Row] = field(default_factory=list)
    pairs: list[Row] = field(default_factory=list)  # likewise
    pairs_gone: list[Row] = field(default_factory=list)  # pair_
    moves: int = 1

    def take_entry(self, entry: bytes) -> None:
        """Has the change's entry of the log, and its mark, stored with it."""
        self.mark = mark_of(entry)
        self.entries = [{**self.place, "size": len(entry), "entry": entry}]

    @property
    def place(self) -> Row:
        """Where the change stands, and since when, as log and history have it."""
        return {"revision": self.revision, "mark": f"{self.mark:016x}", "time_ms": self.time_ms}

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be stored."""
        return not (self.moves or self.counters or self.writes)


# The kinds of rows that belong to one object each.
_OF_OBJECTS = (
    *("created", "updated", "deleted", "names", "names_gone", "refs", "refs_gone", "refs_cut"),
    *("accounts", "accounts_gone", "grants", "grants_gone"),
)


def joined(changes: Sequence[ChangeRows]) -> list[ChangeRows]:
    """The same rows in as few steps as their order allows; the last step has the last head.

    Entries, history and write ids are in the last step, and of each counter its last number.
    """
    if len(changes) == 1:
        return [changes[0]]
    steps: list[ChangeRows] = []
    touched: set[tuple[int, int]] = set()
    for change in changes:
        keys = set(_keys(change))
        if not steps or keys & touched:
            steps.append(ChangeRows(0, 0, 0, moves=0))
            touched = set()
        touched |= keys
        for kind in _OF_OBJECTS:
            getattr(steps[-1], kind).extend(getattr(change, kind))
    last, end = steps[-1], changes[-1]
    last.revision, last.mark, last.time_ms = end.revision, end.mark, end.time_ms
    last.moves = sum(change.moves for change in changes)
    for change in changes:
        last.entries += change.entries
        last.history += change.history
        last.writes += change.writes
    numbers = {row["class_id_"]: row for change in changes for row in change.counters}
    last.counters = list(numbers.values())
    return steps


def _keys(change: ChangeRows) -> Iterator[tuple[int, int]]:
    for rows in (change.created, change.accounts):
        for row in rows:
            yield row["class_id"], row["dbid"]
    for rows in (change.updated, change.deleted, change.names_gone, change.refs_gone):
        for row in rows:
            yield row["class_id_"], row["dbid_"]
    for row in change.accounts_gone:
        yield row["class_id_"], row["dbid_"]
    for row in change.grants_gone:
        yield GRANTS_CLASS_ID, row["number_"]
    for row in change.grants:
        yield GRANTS_CLASS_ID, row["number"]
