"""What calls return: pages, ids of new objects, outcomes."""

from __future__ import annotations

from typing import Generic, NamedTuple

from csp.client.shape import Shown


class Page(NamedTuple, Generic[Shown]):
    """One page of a read."""

    revision: int  # of the first page, on every page
    cursor: str  # "0" at the end
    objects: list[Shown]


class Created(NamedTuple):
    """The reply to a create."""

    revision: int
    dbid: int


class Outcome(NamedTuple):
    """What became of a write: `committed` with its revision, `rejected`, or `unknown`."""

    state: str
    revision: int | None = None
