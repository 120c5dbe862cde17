"""What calls return: pages, ids of new objects, outcomes."""

from __future__ import annotations

from typing import Any, NamedTuple

Object = dict[str, Any]  # an object as the server shows it


class Page(NamedTuple):
    """One page of a read."""

    revision: int  # of the first page, on every page
    cursor: str  # "0" at the end
    objects: list[Object]


class Created(NamedTuple):
    """The reply to a create."""

    revision: int
    dbid: int


class Outcome(NamedTuple):
    """What became of a write: `committed` with its revision, `rejected`, or `unknown`."""

    state: str
    revision: int | None = None
