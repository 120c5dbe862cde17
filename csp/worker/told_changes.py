"""Leaves of a record of the history what the account that asks may read.

1. What is there is shown to who may read it now, its grants to who may read its permissions.
2. Of what is gone the deletion is shown to who may read what lies where it lay, unless it had
   grants of its own; all else of it to administrators alone.
3. Who made a change is left out where the reader may not read that account: then no question for
   an actor or an id finds the change either.
4. A record of which nothing is left is not told, and nothing counts what is not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

import orjson

from csp.model.history import ACTOR_FILTERS, HistoryQuestion, Line, parts_of
from csp.model.places import Place
from csp.model.rights import READ, READ_PERMISSIONS
from csp.model.symbolic import parse_key
from csp.model.types import CLASSES

STEP_CHANGES: Final = 200  # that are judged between two looks at the clock


class Rights(Protocol):
    """The rights of the account that asks."""

    def on(self, place: Place) -> int: ...
    def within(self, container: Place) -> int: ...
    def exists(self, place: Place) -> bool: ...
    @property
    def administers(self) -> bool: ...


def told(
    record: bytes, question: HistoryQuestion, now: Callable[[], Rights]
) -> Generator[None, None, bytes | None]:
    """Yields between steps, after which `now` may give other rights.

    Returns the record for this account, None where nothing is left.
    """
    text, lines = parts_of(record)
    found = orjson.loads(text)
    is_whole = True
    if not _knows_actor(found["actor"], now()):
        if any(key in ACTOR_FILTERS for key, _ in question.filters):
            return None
        del found["actor"]
        found.pop("id", None)
        is_whole = False
    shown: list[dict[str, Any]] = []
    omitted: list[Line] = []
    changes = found["changes"]
    for at, line in enumerate(lines):
        if at % STEP_CHANGES == STEP_CHANGES - 1:
            yield
        if not _may_know(line, now()):
            is_whole = False
        elif at < len(changes):
            shown.append(changes[at])
        else:
            omitted.append(line)
    if not shown and not omitted:
        return None
    if is_whole:
        return text
    known = [[one["op"], one["class"], one["DBID"]] for one in shown]
    if not question.chosen([*known, *omitted]):
        return None
    found["changes"] = shown
    found.pop("omitted", None)
    if omitted:
        found["omitted"] = len(omitted)
    return orjson.dumps(found)


def _knows_actor(actor: dict[str, str], rights: Rights) -> bool:
    key = actor.get("account")
    if not key:
        return True  # the server itself
    cls, dbid = parse_key(key)
    return _may_see((cls.id, dbid), READ, rights)


def _may_know(change: Line, rights: Rights) -> bool:
    op, class_name, dbid, *container = change
    place = CLASSES[class_name].id, dbid
    if op == "delete" and container and not rights.exists(place):
        cls, number = parse_key(container[0])
        if rights.within((cls.id, number)) & READ:
            return True
    return _may_see(place, READ | READ_PERMISSIONS if op == "grant" else READ, rights)


def _may_see(place: Place, needed: int, rights: Rights) -> bool:
    if rights.exists(place):
        return rights.on(place) & needed == needed
    return rights.administers
