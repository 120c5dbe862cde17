"""Explains which unique name a refused transaction would have taken twice."""

from __future__ import annotations

from csp import errors
from csp.master.database import Database
from csp.model.types import by_id
from csp.rules.names import UniqueName, names_of, said
from csp.rules.transaction import Transaction


def explain_taken(tx: Transaction, database: Database) -> None:
    """Raises Unique for the first clash with what the database holds; returns if there is none."""
    for touched in tx.changes():
        assert touched.after is not None
        for name in names_of(touched.cls, touched.after):
            owner = database.name_owner(*name)
            if owner is None or owner == touched.dbid:
                continue
            now = tx.get(touched.cls.name, owner)
            if now is not None and name in names_of(touched.cls, now):
                tx.command = touched.command
                raise clash(name, touched.after, owner)


def clash(name: UniqueName, obj: dict[str, object], owner: int) -> errors.Unique:
    cls = by_id[name.class_id]
    rule = cls.unique[name.rule].rule
    return errors.Unique(f"{said(cls, name, obj)}: is taken by {cls.name}:{owner} (rule {rule})")
