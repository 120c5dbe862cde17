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


class Inherited(NamedTuple):
    """A grant that counts on an object and stands on a container of it."""

    account: str
    rights: str
    at: str  # the container's key; "" where one may not read it


class Permissions(NamedTuple):
    """The access list of an object at a revision."""

    revision: int
    own: dict[str, str]  # rights by account key
    inherited: list[Inherited]


class Outcome(NamedTuple):
    """What became of a write: `committed` with its revision, `rejected`, or `unknown`."""

    state: str
    revision: int | None = None
