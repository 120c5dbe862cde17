"""Tells of this server's ports: what is not taken of them, what waits for a start, who is cut off.

1. The worker of slot 0 alone tells the log and has the alarm; any worker answers CFG.STATUS.
2. Which ports there are, what for and how secured, stays as it was at the start: what the
   Application says otherwise is told once, and counts from the next start on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson

from csp.model.types import CLASSES
from csp.observe.events import log_event
from csp.process.application import application_of, host_of
from csp.process.port_infos import MUTUAL, PortInfos, PortProblem, read_ports
from csp.process.ports import DEFAULT_ID, Port
from csp.store.alarms import ALARM_PORTS, end_alarm, raise_alarm
from csp.worker.call import Lane
from csp.worker.narrowed import Client, clients_of, narrowings, servers_of

log = logging.getLogger("csp.worker")


class OwnPorts:
    """What the log has been told of the ports."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._problems: frozenset[PortProblem] | None = None
        self._awaited = ""
        self._narrowed: frozenset[tuple[str, str]] = frozenset()

    def take(self, application: Mapping[str, Any]) -> None:
        """Tells what is new in the Application."""
        found = _stated(self._lane, application)
        is_first = self._problems is None
        self._tell_problems(found, application)
        if self._lane.info.app_dbid or not is_first:  # else the supervisor is about to open them
            self._tell_awaited(found)
        self._watch(found)
        narrowed = frozenset(narrowed_by(self._lane, application))
        for how, who in sorted(narrowed - self._narrowed):
            log_event(log, "51035", how=how, who=who)
        self._narrowed = narrowed

    def _tell_problems(self, found: PortInfos, application: Mapping[str, Any]) -> None:
        """The supervisor told those of the start."""
        is_first, before = self._problems is None, self._problems or frozenset()
        self._problems = frozenset(found.problems)
        news = self._problems - before
        for one in () if is_first else found.problems:
            if one in news:
                log_event(log, "51030", **one._asdict())
        if any((one.port, one.word) == (DEFAULT_ID, "user=1") for one in news):
            clients = _clients(self._lane, application)
            log_event(log, "51036", word="user=1", who=servers_of(clients))

    def _tell_awaited(self, found: PortInfos) -> None:
        awaited = "; ".join(shown(one) for one in found.ports)
        is_other = [_kind(one) for one in found.ports] != [
            _kind(one) for one in self._lane.info.ports
        ]
        if is_other and not self._lane.info.shut_ports and awaited != self._awaited:
            log_event(log, "51032", ports=awaited)
        self._awaited = awaited if is_other else ""

    def _watch(self, found: PortInfos) -> None:
        """Raises the alarm of ports that are not as somebody wanted them."""
        info, control = self._lane.info, self._lane.control
        wrong = [*(str(one) for one in found.problems), *info.shut_ports]
        if wrong:
            raise_alarm(control, ALARM_PORTS, app=info.app_name, ports="; ".join(wrong))
        else:
            end_alarm(control, ALARM_PORTS, app=info.app_name)


def is_wider(lane: Lane, application: Mapping[str, Any]) -> bool:
    """Whether the default port, opened before the Application was known, lets in more than it says.

    The supervisor is about to start this worker anew with what it says.
    """
    if lane.info.app_dbid:
        return False
    return _demands(_stated(lane, application).ports[0]) != _demands(lane.info.port_of(0))


def shown(port: Port) -> str:
    """A port as CFG.STATUS shows it."""
    words = [port.id, port.address or str(port.tcp), port.purpose.word, port.security.word]
    if port.proxy_from:
        words.append(f"behind {len(port.proxy_from)} balancers")
    if port.listed:
        words.append(f"from {len(port.listed)} networks")
    return " ".join(words)


def narrowed_now(lane: Lane) -> str:
    """How the default port is narrowed, and who is cut off; empty where it lets everybody in."""
    application = application_of(lane.reader, lane.info.app_name)
    if not application:
        return ""
    found = narrowed_by(lane, orjson.loads(application))
    return "; ".join(f"the default port {how}: cut off is {who}" for how, who in found)


def narrowed_by(lane: Lane, application: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How the default port is narrowed as it is open now, and who is cut off."""
    port = lane.info.port_of(0)
    if not list(narrowings(port, [])):
        return []
    return list(narrowings(port, _clients(lane, application)))


def _clients(lane: Lane, application: Mapping[str, Any]) -> list[Client]:
    def get(class_name: str, dbid: int) -> dict[str, Any] | None:
        data = lane.reader.get(CLASSES[class_name].id, dbid) if dbid else None
        found: dict[str, Any] | None = orjson.loads(data) if data else None
        return found

    return clients_of(lane.reader, int(application["DBID"]), get)


def _stated(lane: Lane, application: Mapping[str, Any]) -> PortInfos:
    host = host_of(lane.reader, application)
    return read_ports(application, host, lane.info.default_port)


def _demands(port: Port) -> tuple[object, ...]:
    """What a port demands of who comes by it, certificates' own files left out."""
    return port.security, port.proxy_from, port.listed, port.tls.get(MUTUAL)


def _kind(port: Port) -> tuple[object, ...]:
    """What of a port counts from a start on; files may change at any time."""
    tcp = 0 if port.id == DEFAULT_ID else port.tcp  # --listen stands before the Application
    return port.id, tcp, port.purpose, port.security, port.proxy_from, port.listed
