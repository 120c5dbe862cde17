"""Says which unique names an object holds, as rows that the database keeps apart.

1. Two objects clash when class, rule, scope and value are all equal, byte by byte.
2. An empty value is no name, unless the rule says that it counts.
3. Objects of one transaction take and release their names together, at its end.
4. A long part is kept as its beginning and its SHA-256: PostgreSQL's index takes 2704 bytes a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from csp import errors
from csp.model.extract import Object as JsonObject
from csp.model.extract import value_at
from csp.model.types import ObjectClass, UniqueRule, by_id
from csp.rules.hidden import named
from csp.rules.transaction import Touched, Transaction

EMPTY: Final = (None, "", 0)
PART_CHARACTERS_MAX: Final = 255  # two parts of four-byte characters and hashes fit into the index


class UniqueName(NamedTuple):
    """One name; `rule` is the number of the rule within its class."""

    class_id: int
    rule: int
    scope: str
    value: str


def naming(cls: ObjectClass) -> tuple[str, ...]:
    """The attributes that the unique names of a class are made of."""
    found = _naming.get(cls.id)
    if found is None:
        paths = [path for rule in cls.unique for path in (*rule.of, *rule.unless, *rule.when)]
        _naming[cls.id] = found = tuple({path.partition(".")[0]: None for path in paths})
    return found


def names_of(cls: ObjectClass, obj: JsonObject) -> list[UniqueName]:
    """All unique names that this object holds."""
    found = []
    for number, (rule, first, rest) in enumerate(_rules(cls)):
        value = first(obj)
        if value in EMPTY and not rule.zero:
            continue
        if (rule.unless or rule.when) and not _applies(rule, obj):
            continue
        scope = _scope([read(obj) for read in rest])
        text = value if type(value) is str else str(value)
        found.append(UniqueName(cls.id, number, _short(scope), _short(text)))
    return found


def _short(part: str) -> str:
    if len(part) <= PART_CHARACTERS_MAX:
        return part
    return part[:PART_CHARACTERS_MAX] + "#" + hashlib.sha256(part.encode()).hexdigest()


def said(cls: ObjectClass, name: UniqueName, obj: JsonObject) -> str:
    """The name for a person: `name "Sales" with tenantDBID 1`."""
    rule = cls.unique[name.rule]
    parts = [f"{path} {_shown(value_at(obj, path))}" for path in rule.of]
    return parts[0] + (f" with {', '.join(parts[1:])}" if len(parts) > 1 else "")


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()


def _scope(values: list[Any]) -> str:
    if not values:
        return ""
    if len(values) == 1 and type(values[0]) is int:
        return str(values[0])  # by far the most common: the tenant, or the switch
    return orjson.dumps(values).decode()


def _applies(rule: UniqueRule, obj: JsonObject) -> bool:
    if any(value_at(obj, path) in words for path, words in rule.unless.items()):
        return False
    return all(value_at(obj, path) in words for path, words in rule.when.items())


Reader = Callable[[JsonObject], Any]


def _reader(path: str) -> Reader:
    if "." not in path:
        return lambda obj: obj.get(path)
    return lambda obj: value_at(obj, path)


_naming: dict[int, tuple[str, ...]] = {}
_compiled: dict[int, list[tuple[UniqueRule, Reader, list[Reader]]]] = {}


def _rules(cls: ObjectClass) -> list[tuple[UniqueRule, Reader, list[Reader]]]:
    found = _compiled.get(cls.id)
    if found is None:
        found = [
            (rule, _reader(rule.of[0]), [_reader(path) for path in rule.of[1:]])
            for rule in cls.unique
        ]
        _compiled[cls.id] = found
    return found


# -- names that are taken --------------------------------------------------------------------------


class Taken:
    """The names that one transaction takes."""

    def __init__(self) -> None:
        self._by: dict[UniqueName, Touched] = {}

    def take(self, tx: Transaction, touched: Touched, names: list[UniqueName]) -> None:
        """Raises Unique where another object of the transaction has one of them."""
        for name in names:
            other = self._by.setdefault(name, touched)
            if other is not touched:
                tx.command = touched.command
                assert touched.after is not None
                raise clash(tx, name, touched.after, other.dbid)


def check_published(
    tx: Transaction, touched: Touched, owner_of: Callable[[UniqueName], int | None]
) -> None:
    """Raises Unique where a published object has a name of this one, and keeps it."""
    assert touched.after is not None
    for name in names_of(touched.cls, touched.after):
        owner = owner_of(name)
        if owner is None or owner == touched.dbid:
            continue
        now = tx.get(touched.cls.name, owner)
        if now is not None and name in names_of(touched.cls, now):
            tx.command = touched.command
            raise clash(tx, name, touched.after, owner)


def clash(tx: Transaction, name: UniqueName, obj: JsonObject, owner: int) -> errors.Unique:
    """The refusal of a name that is taken: that it is must be said, not by whom."""
    cls = by_id[name.class_id]
    rule = cls.unique[name.rule].rule
    by = named(tx, (cls.id, owner))
    return errors.Unique(f"{said(cls, name, obj)}: is taken by {by} (rule {rule})")
