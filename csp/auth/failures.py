"""Tells of failed sign-ins: a line for an address and a minute, and an alarm where there are many.

1. The first failure of an address is logged at once, the next ones of a minute together after it.
2. A line names account and address, never a password; what a client sent is made printable.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

from csp.observe.events import log_event
from csp.store.alarms import ALARM_SIGN_INS, Flags, end_alarm, is_raised, raise_alarm

INTERVAL_MS = 60_000  # between two lines about one address
ADDRESSES_MAX = 1_000  # that have lines of their own; the rest shares one
OTHERS = "other addresses"
WRONG_WORD = "WRONGPASS"
USER_CHARACTERS_MAX = 64
ALARM_COUNT = 100  # failures within ALARM_MS: far more than a site's typing errors
ALARM_MS = 60_000

log = logging.getLogger("csp.auth")


@dataclass
class Told:
    """What was told of one address."""

    at_ms: int  # its last line
    user: str = ""
    reason: str = ""
    count: int = 0  # failures since then


class Failures:
    """Failed sign-ins of one server."""

    def __init__(self, flags: Flags, now_ms: int) -> None:
        self._flags = flags
        self._began_ms = now_ms  # what failed before, a predecessor knew
        self._told: dict[str, Told] = {}
        self._recent: deque[int] = deque(maxlen=ALARM_COUNT)

    def add(self, user: bytes, address: str, reason: str, now_ms: int) -> None:
        """A sign-in was refused."""
        name = printable(user)
        if address not in self._told and len(self._told) >= ADDRESSES_MAX:
            address = OTHERS
        told = self._told.get(address)
        if told is None:
            self._told[address] = Told(now_ms)
            log_event(log, "51200", user=name, address=address, reason=reason, more="")
        else:
            told.user, told.reason = name, reason
            told.count += 1
        if not reason.startswith(WRONG_WORD):
            return  # too many at once: nobody was found to be wrong
        self._recent.append(now_ms)
        if len(self._recent) == ALARM_COUNT and now_ms - self._recent[0] < ALARM_MS:
            seconds = ALARM_MS // 1000
            raise_alarm(
                self._flags,
                ALARM_SIGN_INS,
                count=ALARM_COUNT,
                seconds=seconds,
                user=name,
                address=address,
            )

    def tick(self, now_ms: int) -> None:
        """Says what has gathered, and takes the alarm back; called several times a second."""
        for address, told in list(self._told.items()):
            if now_ms - told.at_ms < INTERVAL_MS:
                continue
            if told.count:
                seconds = (now_ms - told.at_ms) // 1000
                more = f"; {told.count} times in {seconds} s"
                fields = {"user": told.user, "address": address, "reason": told.reason}
                log_event(log, "51200", **fields, more=more)
                self._told[address] = Told(now_ms)
            else:
                del self._told[address]
        while self._recent and now_ms - self._recent[0] >= ALARM_MS:
            self._recent.popleft()
        is_known = now_ms - self._began_ms >= ALARM_MS
        is_few = is_known and len(self._recent) <= ALARM_COUNT // 2
        if is_few and is_raised(self._flags, ALARM_SIGN_INS):
            end_alarm(self._flags, ALARM_SIGN_INS)


def printable(user: bytes) -> str:
    """An account's name as a client gave it, fit for one line of a log."""
    text = user[:USER_CHARACTERS_MAX].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
