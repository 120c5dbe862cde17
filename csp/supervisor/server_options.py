"""Turns what the Application object says into the options that every process is told."""

from __future__ import annotations

import logging
from typing import Any

from csp.conf import options as conf
from csp.conf.table import HONOURED, OPTIONS
from csp.observe.events import log_event
from csp.store.context import Mode, OptionValue

# Sections whose options hold for master and proxy alike; their names clash with no other's.
COMMON_SECTIONS = ("csp", "history-log")

log = logging.getLogger("csp.supervisor")


def options_of(application: dict[str, Any], mode: Mode, app_name: str) -> dict[str, OptionValue]:
    """What is honoured of the server's own section, in its own units; warns once of the rest."""
    loaded = conf.load(application.get("options") or {}, mode=mode, app_name=app_name)
    for problem in loaded.problems:
        log_event(
            log,
            "51007",
            section=problem.section,
            option=problem.option,
            reason=problem.reason,
        )
    own = "csproxy" if mode == "proxy" else "confserv"
    return {
        name: value
        for (section, name), value in loaded.values.items()
        if section in (own, *COMMON_SECTIONS) and OPTIONS[section, name].status == HONOURED
    }
