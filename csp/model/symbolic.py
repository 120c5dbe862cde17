"""Parses keys: those with a DBID, and symbolic ones that name an object by filter keys.

`CfgPerson:101`, `CfgPerson/user_name=ann`, `CfgDN/dn_number=1,switch_dbid=101`. In a value a
backslash protects a comma or a backslash.
"""

from __future__ import annotations

from typing import NamedTuple

from csp.errors import BadClass, BadKey, BadValue
from csp.model.keys import SHOWN
from csp.model.types import CLASSES, MAX_DBID, ObjectClass, by_id

MAX_DBID_DIGITS = 20


class SymbolicKey(NamedTuple):
    """A key: either a DBID, or filter keys with their values."""

    cls: ObjectClass
    dbid: int
    filters: tuple[tuple[str, str], ...]


def class_named(name: str) -> ObjectClass:
    """The class of a published name."""
    found = CLASSES.get(name)
    if found is None:
        raise BadClass(f"there is no class {name!r}; names are case-exact, CFG.CLASSES lists them")
    return found


def parse_dbid(text: str) -> int:
    """A DBID in decimal; leading zeros are allowed."""
    if text.isascii() and text.isdigit() and len(text) <= MAX_DBID_DIGITS:
        number = int(text)
        if 0 < number <= MAX_DBID:
            return number
    raise BadKey(f"{text!r} is not a DBID")


def parse_key(text: str) -> tuple[ObjectClass, int]:
    """`<Class>:<DBID>`."""
    name, colon, number = text.partition(":")
    if not colon:
        raise BadKey(f"{text!r} is not <Class>:<DBID>")
    return class_named(name), parse_dbid(number)


def key_of(place: tuple[int, int]) -> str:
    """The key of a class, by its number, and a DBID."""
    return f"{by_id[place[0]].name}:{place[1]}"


def _fields(text: str) -> list[str]:
    """`text` split at commas that no backslash protects."""
    fields, current, at = [], "", 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] in ("\\", ","):
            current += text[at + 1]
            at += 2
            continue
        if text[at] == ",":
            fields.append(current)
            current = ""
        else:
            current += text[at]
        at += 1
    return [*fields, current]


def parse_symbolic(text: str) -> SymbolicKey:
    """A key of either kind."""
    name, slash, rest = text.partition("/")
    if not slash or ":" in name:
        cls, dbid = parse_key(text)
        return SymbolicKey(cls, dbid, ())
    cls, filters = class_named(name), []
    for field in _fields(rest):
        key, equals, value = field.partition("=")
        if not equals:
            raise BadKey(f"{text!r}: {field!r} is not key=value")
        if (name, key) not in SHOWN:
            raise BadValue(f"{name} has no filter key {key!r}")
        filters.append((key, value))
    return SymbolicKey(cls, 0, tuple(filters))
