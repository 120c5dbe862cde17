"""Raises and takes back the alarms of a server, in its control segment and in its log.

1. An alarm is a row that one process writes (csp/tables/alarms.toml names it) and all read.
2. Raised once and over once are logged, whoever asks how often; the row survives its process.
3. An alarm is taken back only by its own owner, for its own reason: never by a start or a death.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, Protocol

from csp.observe.clock import wall_ms
from csp.observe.events import log_event, words_of
from csp.tables.events import ALARMS, Alarm

ALARM_FULL = ALARMS["store full"]
ALARM_DAMAGED = ALARMS["damaged record"]
ALARM_DATABASE = ALARMS["database lost"]
ALARM_REPLACED = ALARMS["another master writes"]
ALARM_HELD = ALARMS["memory held back"]
ALARM_DATABASE_FAILS = ALARMS["database fails"]
ALARM_LINK = ALARMS["link down"]
ALARM_REFUSED = ALARMS["master refuses"]
ALARM_APPLICATION = ALARMS["application"]
ALARM_OPTIONS = ALARMS["options"]
ALARM_NEARLY_FULL = ALARMS["store nearly full"]
ALARM_LOG_SMALL = ALARMS["change log too small"]
ALARM_CLOCK = ALARMS["clock ahead"]
ALARM_SIGN_INS = ALARMS["sign-ins fail"]
ALARM_PROCESS = ALARMS["process missing"]
ALARM_CLIENTS = ALARMS["clients refused"]
ALARM_NAMELESS = ALARMS["memory without a name"]
ALARM_SNAPSHOT = ALARMS["no snapshot"]
ALARM_CERTIFICATE = ALARMS["certificate refused"]
ALARM_EXPIRES = ALARMS["certificate expires"]
ALARM_REVOCATIONS = ALARMS["revocation list expires"]

ALARM_DIRECTORY = ALARMS["directory away"]
ALARM_EXTERNAL = ALARMS["external sign-in"]
ALARM_PORTS = ALARMS["ports"]
ALARM_REDUNDANCY = ALARMS["redundancy"]
ALARM_POOL = ALARMS["pool"]

log = logging.getLogger("csp.alarms")


class Flags(Protocol):
    """Where alarms are shown: the control segment (`csp._fastpath.Control`)."""

    def alarm(self, place: int) -> tuple[int, int, bytes]: ...
    def raise_alarm(self, place: int, since_ms: int, text: bytes, figure: int = 0) -> None: ...
    def end_alarm(self, place: int) -> None: ...


class Raised(NamedTuple):
    """An alarm that is raised."""

    alarm: Alarm
    since_ms: int  # UTC
    text: str  # what the log said when it was raised, cut off where it is long


def is_raised(flags: Flags, alarm: Alarm) -> bool:
    """Whether it is raised, by whichever process."""
    return flags.alarm(alarm.place)[0] != 0


def figure_of(flags: Flags, alarm: Alarm) -> int:
    """The figure that its owner left for a successor."""
    return flags.alarm(alarm.place)[1]


def raise_alarm(
    flags: Flags, alarm: Alarm, number: str = "", figure: int = 0, /, **fields: object
) -> bool:
    """Raises it and logs its event with the fields (`number`: another event that raises it too).

    Where it is raised already only the figure is new: what the owner's successor must know to
    take it back.  True if it was not raised before.
    """
    since_ms, known, text = flags.alarm(alarm.place)
    if since_ms:
        if figure != known:
            flags.raise_alarm(alarm.place, since_ms, text, figure)
        return False
    number = number or alarm.raised
    flags.raise_alarm(alarm.place, wall_ms(), words_of(number, **fields).encode(), figure)
    log_event(log, number, **fields)
    return True


def end_alarm(flags: Flags, alarm: Alarm, /, **fields: object) -> bool:
    """Takes it back and logs that it is over, and for how long it was raised (`elapsed_ms`).

    True if it was raised.
    """
    since_ms = flags.alarm(alarm.place)[0]
    if not since_ms:
        return False
    flags.end_alarm(alarm.place)
    log_event(log, alarm.over, elapsed_ms=max(0, wall_ms() - since_ms), **fields)
    return True


def raised(flags: Flags) -> list[Raised]:
    """What is raised now, the oldest first."""
    found = []
    for alarm in ALARMS.values():
        since_ms, _, text = flags.alarm(alarm.place)
        if since_ms:
            found.append(Raised(alarm, since_ms, text.decode("utf-8", "ignore")))
    return sorted(found, key=lambda one: one.since_ms)
