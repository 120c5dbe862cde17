"""Raises the alarms of certificates: those that are refused, or will be of no use soon.

1. An alarm names one port, the first; each refusal has a line of its own in the log besides.
2. The times in force are what counts: a new file that waits for its time ends no alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from csp.observe.clock import when
from csp.store.alarms import (
    ALARM_CERTIFICATE,
    ALARM_EXPIRES,
    ALARM_REVOCATIONS,
    Flags,
    end_alarm,
    raise_alarm,
)
from csp.tls.files import Facts

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
WARNING_DAYS: Final = 30
REVOCATIONS_HOURS: Final = 24


class Refused(NamedTuple):
    """A port whose new certificate is not taken."""

    port: str
    reason: str
    kept: str


class Trouble:
    """The alarms of one server's certificates."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self._warning_ms = WARNING_DAYS * DAY_MS
        self._revocations_ms = REVOCATIONS_HOURS * HOUR_MS

    def end_all(self) -> None:
        """There is no TLS port, or none any more."""
        for alarm in (ALARM_CERTIFICATE, ALARM_EXPIRES, ALARM_REVOCATIONS):
            end_alarm(self._flags, alarm)

    def take_options(self, values: Mapping[str, int | str | bool]) -> None:
        """How long before the end somebody is to be told."""
        self._warning_ms = int(values.get("certificate-expiry-warning", WARNING_DAYS)) * DAY_MS
        self._revocations_ms = int(values.get("crl-expiry-warning", REVOCATIONS_HOURS)) * HOUR_MS

    def tell_refused(self, refused: Sequence[Refused], *, may_end: bool) -> None:
        """These are refused now; with none, what was raised is over if that is known of all."""
        if refused:
            raise_alarm(self._flags, ALARM_CERTIFICATE, **refused[0]._asdict())
        elif may_end:
            end_alarm(self._flags, ALARM_CERTIFICATE)

    def tell_times(self, ports: Sequence[tuple[str, Facts]], now_ms: int, *, may_end: bool) -> None:
        """These are in force; `may_end` as above."""
        ending = [one for one in ports if one[1].until_ms - now_ms < self._warning_ms]
        if ending:
            port, facts = min(ending, key=lambda one: one[1].until_ms)
            fields = {"subject": facts.subject, "until": when(facts.until_ms)}
            raise_alarm(self._flags, ALARM_EXPIRES, port=port, **fields)
        elif may_end:
            end_alarm(self._flags, ALARM_EXPIRES)
        lists = [
            one
            for one in ports
            if one[1].crl_until_ms and one[1].crl_until_ms - now_ms < self._revocations_ms
        ]
        if lists:
            port, facts = min(lists, key=lambda one: one[1].crl_until_ms)
            raise_alarm(self._flags, ALARM_REVOCATIONS, port=port, until=when(facts.crl_until_ms))
        elif may_end:
            end_alarm(self._flags, ALARM_REVOCATIONS)
