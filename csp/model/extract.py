"""Turns the paths of the object table into functions that take values out of an object.

A path is `a.b`, `a.b[].c` (members of a list), `a[].DBID?type=person` (members where), `a>Class.b`
(through the object
that a names), or the name of a pair part. A value that is absent, 0 or "" yields nothing: a stated
0 means "none".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Object = dict[str, Any]
Values = Callable[[Object], list[Any]]


class Lookup(Protocol):
    """What building keys and checking references needs of the other objects."""

    def get(self, class_name: str, dbid: int) -> Object | None:
        """The object as it is (or will be) in this state; None if there is none."""
        ...


class Nothing:
    """A lookup for objects that stand alone."""

    def get(self, class_name: str, dbid: int) -> Object | None:
        """Nothing is ever found."""
        return None


def value_at(obj: Object, path: str) -> Any:
    """The value at a dotted path, or None."""
    found: Any = obj
    for step in path.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(step)
    return found


def scalar(path: str) -> Callable[[Object], Any]:
    """A function that gives the one value at a dotted path without lists, or None."""
    first, _, rest = path.partition(".")
    if not rest:
        return lambda obj: obj.get(first)
    if "." in rest:
        return lambda obj: value_at(obj, path)

    def two(obj: Object) -> Any:
        part = obj.get(first)
        return None if part is None else part.get(rest)

    return two


def values(path: str) -> Values:
    """A function that gives every value at a path."""
    path, _, condition = path.partition("?")
    if "[]" not in path:
        take = scalar(path)

        def one(obj: Object) -> list[Any]:
            value = take(obj)
            return [value] if value else []

        return one
    before, _, after = path.partition("[]")
    take, field = scalar(before), after.removeprefix(".")
    if not field:
        return lambda obj: take(obj) or []
    if condition:
        name, _, wanted = condition.partition("=")

        def some(obj: Object) -> list[Any]:
            members = take(obj) or ()
            return [one[field] for one in members if one.get(name) == wanted and one.get(field)]

        return some

    def members(obj: Object) -> list[Any]:
        found = take(obj)
        return [one[field] for one in found if one.get(field)] if found else []

    return members
