"""Logs what a committed transaction did: an event for each object, or one with their number.

1. Only what happened is logged: this runs after the commit.
2. An object is named by its natural key; a secret is never part of one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from csp.model.entry import Change
from csp.model.extract import value_at
from csp.model.grants import GrantsChange
from csp.model.principal import Principal
from csp.model.types import by_id
from csp.observe.events import log_event

OBJECTS_MAX: Final = 100  # of one transaction, each with an event of its own
EVENTS: Final = {"create": "24200", "update": "24201", "delete": "24202"}

log = logging.getLogger("csp.master")


def report_changes(
    changes: Sequence[Change],
    granted: Sequence[GrantsChange],
    principal: Principal,
    revision: int,
) -> None:
    """Logs an event for every object that was created, changed or deleted, or has other grants; or
    one for many.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    client = principal.shown
    told = [one for one in granted if one.is_told]
    if len(changes) + len(told) > OBJECTS_MAX:
        _report_many(changes, len(told), revision, client)
        return
    for one in changes:
        shown = one.after or one.before or {}
        name = "/".join(str(value_at(shown, path)) for path in one.cls.natural)
        log_event(log, EVENTS[one.op], type=one.cls.name, name=name, dbid=one.dbid, client=client)
    for listed in told:
        class_id, dbid = listed.place
        log_event(log, "24204", type=by_id[class_id].name, dbid=dbid, client=client)


def _report_many(changes: Sequence[Change], granted: int, revision: int, client: str) -> None:
    count = Counter(one.op for one in changes)
    log_event(log, "24203", revision=revision, created=count["create"], updated=count["update"],
              deleted=count["delete"], granted=granted, client=client)  # fmt: skip
