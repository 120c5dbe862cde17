"""Raises the alarm of failing sign-ins: where too many, or too large a share, failed lately.

1. What happened is counted in slices of a window, so that the memory does not grow with attacks.
2. Where [security] failure-alarm-* says nothing, a rule of our own holds: a guesser is always told.
3. A successor knows nothing at first: it takes the alarm back only after a whole window.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from csp.process.context import OptionValue
from csp.store.alarms import ALARM_SIGN_INS, Flags, end_alarm, is_raised, raise_alarm

DEFAULT_COUNT = 100  # failures within DEFAULT_MS: far more than a site's typing errors
DEFAULT_MS = 60_000
SLICES = 60  # of a window: so exact is its beginning
PERCENT_OF_MIN = 10  # sign-ins before their share says anything
MINUTE_MS = 60_000


class Rule(NamedTuple):
    """When failing sign-ins are an alarm."""

    window_ms: int = DEFAULT_MS
    failures: int = DEFAULT_COUNT  # as many of them; 0: however many
    percent: int = 0  # a higher share of failures; 0: whatever share

    @classmethod
    def of(cls, values: Mapping[str, OptionValue]) -> Rule:
        """The rule that the options state; ours where a period, or both limits, are 0."""
        period = int(values.get("failure-alarm-period", 0))
        count = int(values.get("failure-alarm-count", 0))
        percent = int(values.get("failure-alarm-percent", 0))
        if not period or not (count or percent):
            return cls()
        # "more than this" of the option is "as many as one more" here.
        return cls(period * MINUTE_MS, count + 1 if count else 0, percent)

    def is_broken(self, failed: int, tried: int) -> bool:
        """Whether so many failures among so many sign-ins are too many."""
        if self.failures and failed >= self.failures:
            return True
        is_share = self.percent and tried >= PERCENT_OF_MIN
        return bool(is_share) and failed * 100 > self.percent * tried


class FailureAlarm:
    """The alarm of one server."""

    def __init__(self, flags: Flags, now_ms: int) -> None:
        self._flags = flags
        self._began_ms = now_ms  # what happened before, a predecessor knew
        self._rule = Rule()
        self._slices: dict[int, list[int]] = {}  # number of the slice: failed, tried

    def take(self, rule: Rule, now_ms: int) -> None:
        """Another rule holds from now on; what was counted under the old one is forgotten."""
        if rule != self._rule:
            self._rule = rule
            self._slices.clear()
            self._began_ms = now_ms

    def add(self, user: str, address: str, now_ms: int, *, is_failure: bool) -> None:
        """A password was right or wrong."""
        number = self._slice(now_ms)
        if number not in self._slices:  # also where none ever fails, nor anybody asks for the sums
            self._forget(number)
        found = self._slices.setdefault(number, [0, 0])
        found[0] += is_failure
        found[1] += 1
        if not is_failure:
            return
        failed, tried = self._sums(now_ms)
        if self._rule.is_broken(failed, tried):
            seconds = self._rule.window_ms // 1000
            raise_alarm(
                self._flags,
                ALARM_SIGN_INS,
                count=failed,
                seconds=seconds,
                user=user,
                address=address,
            )

    def tick(self, now_ms: int) -> None:
        """Takes the alarm back where failures are half as many as would raise it, or fewer."""
        if now_ms - self._began_ms < self._rule.window_ms:
            return
        if not is_raised(self._flags, ALARM_SIGN_INS):
            return
        failed, tried = self._sums(now_ms)
        if not self._rule.is_broken(2 * failed, tried):
            end_alarm(self._flags, ALARM_SIGN_INS)

    def _slice(self, now_ms: int) -> int:
        return now_ms * SLICES // self._rule.window_ms

    def _sums(self, now_ms: int) -> tuple[int, int]:
        """Failed and all sign-ins within the window."""
        self._forget(self._slice(now_ms))
        return (
            sum(failed for failed, _ in self._slices.values()),
            sum(tried for _, tried in self._slices.values()),
        )

    def _forget(self, newest: int) -> None:
        """Lets go of the slices that have left the window."""
        for number in [number for number in self._slices if number <= newest - SLICES]:
            del self._slices[number]
