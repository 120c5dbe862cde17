"""Shows a transaction's rules the objects as its author may see them: what is hidden is not there.

1. A reference that a command newly states leads to nothing where the author may not read what it
   names; one that the object had already is left alone.
2. No error names another object that the author may not read: all texts go through `named` or
   `known_among`.
"""

from __future__ import annotations

from collections.abc import Iterable

from csp.model.extract import Object as JsonObject
from csp.model.symbolic import key_of
from csp.model.types import CLASSES, ObjectClass
from csp.rules.references import Key, references_of, targets_of
from csp.rules.transaction import Touched, Transaction


class Seen:
    """Looks up what one object refers to (see csp.model.extract.Lookup)."""

    def __init__(self, tx: Transaction, touched: Touched) -> None:
        self._tx = tx
        self._touched = touched

    def get(self, class_name: str, dbid: int) -> JsonObject | None:
        """The object as it will be; None also where it is referred to anew and is hidden."""
        cls = CLASSES.get(class_name)
        if cls is None or is_hidden(self._tx, self._touched, (cls.id, dbid)):
            return None
        return self._tx.get(class_name, dbid)


def is_hidden(tx: Transaction, touched: Touched, key: Key) -> bool:
    """Whether an object refers to another one that its author must not learn of by that."""
    if tx.author.reads(key) or touched.after is None:
        return False
    before = touched.before
    if before is not None and key in set(targets_of(touched.cls, before)):
        return False
    return key in _stated(touched.cls, touched.after)


def _stated(cls: ObjectClass, obj: JsonObject) -> set[Key]:
    """What an object refers to by its own words: what is derived is as another object has it."""
    derived = {one.name for one in cls.attributes if one.derived}
    return {
        (CLASSES[class_name].id, dbid)
        for site, class_name, dbid in references_of(cls, obj)
        if class_name and site.path not in derived
    }


def is_there(tx: Transaction, touched: Touched, key: Key) -> bool:
    """Whether an object may refer to another one, which will be there."""
    return tx.exists(*key) and not is_hidden(tx, touched, key)


def named(tx: Transaction, key: Key) -> str:
    """An object as an error names it."""
    return key_of(key) if tx.author.reads(key) else "another object"


def known_among(tx: Transaction, keys: Iterable[Key]) -> Key | None:
    """The first of these objects that may be named."""
    return next((key for key in keys if tx.author.reads(key)), None)
