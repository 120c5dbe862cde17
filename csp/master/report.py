"""Logs what a committed transaction did: one event for each object, by its number and name.

1. Only what happened is logged: this runs after the commit.
2. An object is named by its natural key; a secret is never part of one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from csp.model.entry import Change
from csp.model.extract import value_at
from csp.model.principal import Principal
from csp.observe.events import log_event

EVENTS: Final = {"create": "24200", "update": "24201", "delete": "24202"}

log = logging.getLogger("csp.master")


def report_changes(changes: Sequence[Change], principal: Principal) -> None:
    """Logs an event for every object that was created, changed or deleted."""
    if not log.isEnabledFor(logging.INFO):
        return
    client = " ".join(principal.as_actor().values())
    for one in changes:
        shown = one.after or one.before or {}
        name = "/".join(str(value_at(shown, path)) for path in one.cls.natural)
        log_event(log, EVENTS[one.op], type=one.cls.name, name=name, dbid=one.dbid, client=client)
