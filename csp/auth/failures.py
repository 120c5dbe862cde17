"""Tells of failed sign-ins: a line for an address and a minute; many are an alarm besides.

1. The first failure of an address is logged at once, the next ones of a minute together after it.
2. A line names account and address, never a password; what a client sent is made printable.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from csp.auth.failure_alarm import FailureAlarm
from csp.observe.events import log_event
from csp.store.alarms import Flags

INTERVAL_MS = 60_000  # between two lines about one address
ADDRESSES_MAX = 1_000  # that have lines of their own; the rest shares one
OTHERS = "other addresses"
WRONG_WORD = "WRONGPASS"
USER_CHARACTERS_MAX = 64

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
        self.alarm = FailureAlarm(flags, now_ms)
        self._told: dict[str, Told] = {}

    def add_right(self, now_ms: int) -> None:
        """A sign-in was right: those that fail are a smaller share."""
        self.alarm.add("", "", now_ms, is_failure=False)

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
        if reason.startswith(WRONG_WORD):  # else too many at once: nobody was found to be wrong
            self.alarm.add(name, address, now_ms, is_failure=True)

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
        self.alarm.tick(now_ms)


def printable(user: bytes) -> str:
    """An account's name as a client gave it, fit for one line of a log."""
    text = user[:USER_CHARACTERS_MAX].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
