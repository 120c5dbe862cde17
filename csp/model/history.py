"""Says what a question about change records asks, and what a page of records is.

1. Records are told oldest first; `since` is the revision after which they begin.
2. A page ends at its limit, at its bytes, or when enough was looked through; `following` then is
   the `since` of the next page, else 0.
3. Filters are ANDed; `key`, `class` and `op` must hold for one and the same change of a record.
4. Between servers a record is followed by a line that clients never get: what each change was, of
   a deletion also where the object lay, so that each server can leave out what its client may not
   know (csp/worker/told_changes.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from csp.errors import BadValue
from csp.model.symbolic import class_named, parse_key

OPS: Final = ("create", "update", "delete", "grant")
CHANGE_KEYS: Final = ("key", "class", "op")
ACTOR_KEYS: Final = ("account", "application", "address")
ACTOR_FILTERS: Final = (*ACTOR_KEYS, "id")
FILTER_KEYS: Final = (*CHANGE_KEYS, *ACTOR_FILTERS)

# What was done to which object: op, class, DBID; of a deletion also the container's key, unless
# the object had grants of its own.
Line = list[Any]
_BEGIN: Final = b'{"revision":'


class HistoryPage(NamedTuple):
    """One page of change records, each as JSON."""

    revision: int  # the newest of the database when the page was read
    following: int
    records: list[bytes]

    def words(self) -> tuple[int | bytes, ...]:
        """The page as parts of an answer."""
        return (self.revision, self.following, *self.records)


@dataclass(frozen=True, slots=True)
class HistoryQuestion:
    """One question, checked."""

    since: int
    limit: int
    filters: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for key, value in self.filters:
            _check_filter(key, value)

    def as_json(self) -> bytes:
        """For the channel between worker and writer."""
        return orjson.dumps([self.since, self.limit, self.filters])

    @classmethod
    def from_json(cls, text: bytes) -> HistoryQuestion:
        """What `as_json` wrote."""
        since, limit, filters = orjson.loads(text)
        return cls(int(since), int(limit), tuple((key, value) for key, value in filters))

    def allows(self, actor: Mapping[str, str], write_id: str) -> bool:
        """Whether a change by this actor under this id is asked for."""
        return all(
            (write_id if key == "id" else actor.get(key, "")) == value
            for key, value in self.filters
            if key not in CHANGE_KEYS
        )

    def chosen(self, changes: list[Line]) -> bool:
        """Whether one of the changes is asked for."""
        wanted = [pair for pair in self.filters if pair[0] in CHANGE_KEYS]
        if not wanted:
            return True
        for op, class_name, dbid, *_ in changes:
            found = {"op": op, "class": class_name, "key": f"{class_name}:{dbid}"}
            if all(found[key] == value for key, value in wanted):
                return True
        return False


def joined(record: bytes, lines: list[Line]) -> bytes:
    """A record as servers tell it one another."""
    return record + b"\n" + orjson.dumps(lines)


def revision_of(told: bytes) -> int:
    """The revision of a record, which it begins with."""
    digits = told[len(_BEGIN) : told.index(b",")]
    return int(digits)


def parts_of(told: bytes) -> tuple[bytes, list[Line]]:
    """What `joined` put together."""
    record, _, lines = told.partition(b"\n")
    return record, orjson.loads(lines)


def _check_filter(key: str, value: str) -> None:
    if key not in FILTER_KEYS:
        raise BadValue(f"{key!r} is no filter of the history: {', '.join(FILTER_KEYS)}, user")
    if key == "op" and value not in OPS:
        raise BadValue(f"op {value!r} is none of {', '.join(OPS)}")
    if key == "class":
        class_named(value)
    if key in ("key", "account"):
        cls, dbid = parse_key(value)
        if value != f"{cls.name}:{dbid}":
            raise BadValue(f"{key} {value!r}: {cls.name}:{dbid} is meant")
