"""Finds the unique name that a transaction would take from another object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from csp.master.rows import Row
from csp.model.types import by_id
from csp.rules.names import UniqueName, clash, names_of
from csp.rules.transaction import Transaction


class Owners(Protocol):
    """Who knows the names that are held."""

    def name_owners(self, names: Sequence[UniqueName]) -> dict[UniqueName, int]:
        """Who holds each of these names; those that nobody holds are left out."""


def refuse_taken(tx: Transaction, names: Sequence[Row], owners: Owners) -> None:
    """Raises Unique for the first of these rows of `unique_names` that another object holds, and
    keeps after this transaction.
    """
    if not names:
        return
    wanted = [UniqueName(one["class_id"], one["rule"], one["scope"], one["value"]) for one in names]
    held = owners.name_owners(wanted)
    if not held:
        return
    for row, name in zip(names, wanted, strict=True):
        owner = held.get(name)
        if owner is None or owner == row["dbid"]:
            continue
        cls = by_id[name.class_id]
        now = tx.get(cls.name, owner)
        if now is not None and name in names_of(cls, now):
            touched = tx.touched[cls.id, row["dbid"]]
            assert touched.after is not None
            tx.command = touched.command
            raise clash(tx, name, touched.after, owner)
