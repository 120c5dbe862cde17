"""Keeps a worker at its server's options: what changes in the Application object holds at once.

1. The worker sees the change in the store itself, CHECK_MS later at most; nothing is restarted.
2. Options that take effect `now` change here; the others keep their value until the next start.
3. The worker of slot 0 alone logs: each change and each problem once.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import orjson

from csp.conf.options import Options, Problem, load, loop_limits
from csp.conf.table import HONOURED, OPTIONS
from csp.model.keys import KEYS
from csp.model.types import CLASSES
from csp.observe.events import log_event

if TYPE_CHECKING:
    from csp.store.context import OptionValue
    from csp.worker.slowlane import Lane

CHECK_MS = 250  # one lookup and a comparison of some KB
APPLICATION = CLASSES["CfgApplication"].id
NAME = KEYS["CfgApplication", "name"].key_id
NOW = "now"

log = logging.getLogger("csp.worker")


class OwnOptions:
    """The options in force in one worker."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._seen = b""  # the Application as it was looked at last
        self._told: set[Problem] = set()
        self._awaited: dict[tuple[str, str], OptionValue] = {}  # what the next start will take

    def start(self) -> None:
        """Looks from now on."""
        self._lane.loop.call_later(CHECK_MS, self._check)

    def _check(self) -> None:
        if not self._lane.loading:
            self.look()
        self._lane.loop.call_later(CHECK_MS, self._check)

    def look(self) -> None:
        """Takes what the Application says, if it says anything new."""
        lane, info = self._lane, self._lane.info
        found = b""
        for dbid in lane.reader.find(NAME, info.app_name.encode()):
            found = lane.reader.get(APPLICATION, dbid) or b""
        if not found or found == self._seen:
            return
        is_first, self._seen = not self._seen, found
        sections = orjson.loads(found).get("options") or {}
        options = load(sections, mode=info.mode, app_name=info.app_name)
        if is_first:
            self._told.update(options.problems)  # the supervisor logged them at the start
        self._report_problems(options)
        self._take(options)

    def _take(self, options: Options) -> None:
        lane, info = self._lane, self._lane.info
        values: dict[str, OptionValue] = dict(info.options)
        own = "csproxy" if info.mode == "proxy" else "confserv"
        for (section, name), value in options.values.items():
            option = OPTIONS[section, name]
            is_ours = name in values and section in (own, "csp", "history-log")
            if not is_ours or option.status != HONOURED or values[name] == value:
                continue
            is_now = option.effect == NOW
            if is_now:
                values[name] = value
            elif self._awaited.get((section, name)) == value:
                continue
            else:
                self._awaited[section, name] = value
            if info.slot == 0:
                number = "51009" if is_now else "51010"
                log_event(log, number, section=section, option=name, value=value)
        if values == info.options:
            return
        lane.info = dataclasses.replace(info, options=values)
        lane.loop.set_limits(
            loop_limits(options, mode=info.mode, connections=info.client_count_max)
        )

    def _report_problems(self, options: Options) -> None:
        for problem in options.problems:
            if problem not in self._told and self._lane.info.slot == 0:
                log_event(
                    log,
                    "51007",
                    section=problem.section,
                    option=problem.option,
                    reason=problem.reason,
                )
        self._told = set(options.problems)
