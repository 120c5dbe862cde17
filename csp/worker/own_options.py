"""Brings a worker's loop, its answers and its log to the server's options, whenever they change.

The worker of slot 0 also tells the log, and raises the alarms of an Application that is gone or
unfit, or whose options or ports are wrong.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from csp.conf.options import Options, loop_limits
from csp.model.redundancy import SERVER_TYPE
from csp.model.scope import Scope
from csp.observe.log import set_level
from csp.process.application import application_of
from csp.process.context import OptionValue
from csp.process.own_options import CHECK_MS, OwnOptions
from csp.store.alarms import ALARM_APPLICATION, ALARM_OPTIONS, end_alarm, raise_alarm
from csp.tables.options import networks_of
from csp.worker.call import Lane
from csp.worker.cluster import watch_pool
from csp.worker.own_ports import OwnPorts, is_wider
from csp.worker.scoped import scope_of


class Following:
    """The options in force in one worker."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        info = lane.info
        self._is_teller = info.slot == 0
        self._was_seen = False  # by the one that tells
        self._is_known = False
        self._ports = OwnPorts(lane)
        self._scope: Scope | None = None
        self._options = OwnOptions(
            mode=info.mode,
            app_name=info.app_name,
            values=info.options,
            log=logging.getLogger("csp.worker") if self._is_teller else None,
        )

    def start(self) -> None:
        """Looks from now on, first before anybody is answered: a worker that was started again has
        the options of the server's start.
        """
        self._options.on_change(self._changed)
        self._check()

    def _check(self) -> None:
        self.look()
        self._lane.loop.call_later(CHECK_MS, self._check)

    def look(self) -> None:
        """Takes what the Application says now."""
        if not self._lane.loading:
            self._take(application_of(self._lane.reader, self._lane.info.app_name))

    def _take(self, application: bytes) -> None:
        news = self._options.look(application)
        if news is not None and (self._lane.awaits_ports or not self._is_known):
            self._is_known = True
            self._lane.awaits_ports = is_wider(self._lane, news.application)
        if not self._is_teller:
            return
        if news is not None:
            self._was_seen = True
            self._watch(news.application)
            self._watch_options(news.options)
            self._ports.take(news.application)
        elif not application:
            self._watch(None)
        watch_pool(self._lane)

    def _changed(self, values: Mapping[str, OptionValue]) -> None:
        set_level(self._options.log_level)
        lane, info = self._lane, self._lane.info
        if values != info.options:
            lane.info = dataclasses.replace(info, options=values)
            most = info.client_count_max
            lane.loop.set_limits(loop_limits(values, mode=info.mode, connections=most))
        lane.loop.set_balancers(networks_of(str(values.get("balancer-addresses", ""))))
        self._limit_to(scope_of(lane))

    def _limit_to(self, scope: Scope | None) -> None:
        if scope != self._scope:
            self._scope = scope
            self._lane.loop.accounts.limit_to(scope)
            self._lane.tokens.sign()

    def _watch(self, application: dict[str, Any] | None) -> None:
        """Raises the alarm of an Application with which the next start would fail."""
        info, control = self._lane.info, self._lane.control
        reason = ""
        if application is None:
            # A master runs without one as long as nobody makes it.
            reason = "does not exist any more" if self._was_seen or info.mode == "proxy" else ""
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
        wrong = [f"[{one.section}] {one.option}" for one in options.problems if one.is_wrong]
        if wrong:
            named = ", ".join(wrong)
            raise_alarm(control, ALARM_OPTIONS, app=info.app_name, options=named)
        else:
            end_alarm(control, ALARM_OPTIONS, app=info.app_name)
