"""Keeps a process at its server's options: what changes in the Application object holds at once.

1. Each process looks at the Application in the store itself, a moment after it changed at most;
   nothing is restarted, and nobody is told by another. (The supervisor maps no data: see the
   level of the log in csp/store/control.py.)
2. Options that take effect `now` change here, and so do those of the next connect to the master,
   which who connects then asks for; the others keep their value until the next start.
3. One process of a server tells the log: each change and each problem once.
4. An Application that is not there, or went, changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from csp.conf.options import Options, Problem, in_force, of_server
from csp.observe.events import log_event
from csp.observe.log import LEVEL_OF_VERBOSE
from csp.process.application import options_in, tell_problems
from csp.process.context import OptionValue

CHECK_MS = 250  # one lookup and a comparison of some KB
AT_ONCE = ("now", "reconnect")

Changed = Callable[
    [Mapping[str, OptionValue]], None
]  # all values in force, in the options' own units


class News(NamedTuple):
    """What a changed Application says."""

    application: dict[str, Any]
    options: Options


class OwnOptions:
    """The options in force in one process."""

    def __init__(
        self,
        *,
        mode: str,
        app_name: str,
        values: Mapping[str, OptionValue],
        log: logging.Logger | None,
    ) -> None:
        """`values` are what the process was started with; `log` is given to the one that tells."""
        self.values: Mapping[str, OptionValue] = values
        self.log_level = ""  # what the Application states; empty: as the command line says
        self._mode = mode
        self._app_name = app_name
        self._log = log
        self._seen = b""  # the Application as it was looked at last
        self._told: frozenset[Problem] = frozenset()
        self._awaited: dict[str, OptionValue] = {}  # what the next start will take
        self._changed: list[Changed] = []

    def on_change(self, changed: Changed) -> None:
        """Calls back with all values, now and whenever one of them has changed."""
        self._changed.append(changed)
        changed(self.values)

    def number(self, name: str) -> int:
        """The value in force of an int option."""
        value = self.values.get(name)
        return int(of_server(self._mode)[name].default if value is None else value)

    def look(self, application: bytes) -> News | None:
        """Takes what the Application's JSON says; None where that is nothing new."""
        if not application or application == self._seen:
            return None
        is_first, self._seen = not self._seen, application
        found = orjson.loads(application)
        options = options_in(found, mode=self._mode, app_name=self._app_name)
        if self._log is not None and not is_first:  # the supervisor told those of the start
            tell_problems(self._log, [one for one in options.problems if one not in self._told])
        self._told = frozenset(options.problems)
        self._take(options)
        return News(found, options)

    def _take(self, options: Options) -> None:
        values = dict(self.values)
        table = of_server(self._mode)
        told: list[tuple[str, str, str, OptionValue]] = []
        for name, value in in_force(options, self._mode).items():
            if values.get(name) == value:
                continue
            is_now = table[name].effect in AT_ONCE
            if is_now:
                values[name] = value
            elif self._awaited.get(name) == value:
                continue
            else:
                self._awaited[name] = value
            told.append(("51009" if is_now else "51010", table[name].section, name, value))
        stated = ("log", "verbose") in options.stated
        level = LEVEL_OF_VERBOSE[str(options.get("log", "verbose"))] if stated else ""
        if values != self.values or level != self.log_level:
            self.values, self.log_level = values, level
            for changed in self._changed:
                changed(values)
        if self._log is not None:  # at the level that holds now
            for number, section, name, value in told:
                log_event(self._log, number, section=section, option=name, value=value)
