"""Keeps a worker at its server's options: what changes in the Application object holds at once.

1. The worker sees the change in the store itself, CHECK_MS later at most; nothing is restarted.
2. Options that take effect `now` change here; the others keep their value until the next start.
3. The worker of slot 0 alone logs, each change and each problem once, and raises the alarms of an
   Application that is gone or unfit, or whose options are wrong.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any

import orjson

from csp.conf.options import Options, Problem, in_force, loop_limits, of_server
from csp.observe.events import log_event
from csp.process.application import SERVER_TYPE, application_of, options_in, tell_problems
from csp.store.alarms import ALARM_APPLICATION, ALARM_OPTIONS, end_alarm, raise_alarm

if TYPE_CHECKING:
    from csp.process.context import OptionValue
    from csp.worker.slowlane import Lane

CHECK_MS = 250  # one lookup and a comparison of some KB
NOW = "now"

log = logging.getLogger("csp.worker")


class OwnOptions:
    """The options in force in one worker."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._seen = b""  # the Application as it was looked at last
        self._told: set[Problem] = set()
        self._awaited: dict[str, OptionValue] = {}  # what the next start will take

    def start(self) -> None:
        """Looks from now on."""
        self._lane.loop.call_later(CHECK_MS, self._check)

    def _check(self) -> None:
        if not self._lane.loading:
            self.look()
        self._lane.loop.call_later(CHECK_MS, self._check)

    def look(self) -> None:
        """Takes what the Application says, if it says anything new."""
        info = self._lane.info
        found = application_of(self._lane.reader, info.app_name)
        if not found:
            self._watch(None)
        if not found or found == self._seen:
            return
        is_first, self._seen = not self._seen, found
        application = orjson.loads(found)
        options = options_in(application, mode=info.mode, app_name=info.app_name)
        self._watch(application)
        self._watch_options(options)
        if is_first:
            self._told.update(options.problems)  # the supervisor logged them at the start
        self._report_problems(options)
        self._take(options)

    def _watch(self, application: dict[str, Any] | None) -> None:
        """Raises the alarm of an Application with which the next start would fail."""
        info, control = self._lane.info, self._lane.control
        if info.slot != 0:
            return
        reason = ""
        if application is None:
            # A master runs without one as long as nobody makes it.
            reason = "does not exist any more" if self._seen or info.mode == "proxy" else ""
        elif application.get("state") == "disabled":
            reason = "is disabled"
        elif application.get("type") != SERVER_TYPE:
            reason = f"is of type {application.get('type')}, not {SERVER_TYPE}"
        if reason:
            raise_alarm(control, ALARM_APPLICATION, app=info.app_name, reason=reason)
        elif application is not None:
            end_alarm(control, ALARM_APPLICATION, app=info.app_name)

    def _watch_options(self, options: Options) -> None:
        """Raises the alarm of options that somebody set in vain."""
        info, control = self._lane.info, self._lane.control
        if info.slot != 0:
            return
        wrong = [f"[{one.section}] {one.option}" for one in options.problems if one.is_wrong]
        if wrong:
            named = ", ".join(wrong)
            raise_alarm(control, ALARM_OPTIONS, app=info.app_name, options=named)
        else:
            end_alarm(control, ALARM_OPTIONS, app=info.app_name)

    def _take(self, options: Options) -> None:
        lane, info = self._lane, self._lane.info
        values: dict[str, OptionValue] = dict(info.options)
        table = of_server(info.mode)
        for name, value in in_force(options, info.mode).items():
            if values[name] == value:
                continue
            is_now = table[name].effect == NOW
            if is_now:
                values[name] = value
            elif self._awaited.get(name) == value:
                continue
            else:
                self._awaited[name] = value
            if info.slot == 0:
                number = "51009" if is_now else "51010"
                log_event(log, number, section=table[name].section, option=name, value=value)
        if values == info.options:
            return
        lane.info = dataclasses.replace(info, options=values)
        lane.loop.set_limits(loop_limits(values, mode=info.mode, connections=info.client_count_max))

    def _report_problems(self, options: Options) -> None:
        if self._lane.info.slot == 0:
            tell_problems(log, [one for one in options.problems if one not in self._told])
        self._told = set(options.problems)
