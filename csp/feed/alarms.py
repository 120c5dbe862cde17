"""Raises the alarms of a proxy's link: down for long, or refused by the master.

1. A refusal is its own alarm, with the master's words; "link down" is not raised beside it.
2. Both end when the link has come so far that records or changes flow, whoever raised them.
"""

from __future__ import annotations

from csp.process.context import Upstream
from csp.process.origin import StoreForOrigin
from csp.store.alarms import ALARM_LINK, ALARM_REFUSED

DOWN_MS_MAX = 30_000  # a master that is restarted is back sooner
# The master is there and will take us in a moment.
WAIT_WORDS = ("BUSY", "LOADING", "MASTERDOWN", "STALE")


class LinkAlarms:
    """What is to be told of the link to one master."""

    def __init__(self, store: StoreForOrigin, upstream: Upstream, now_ms: int) -> None:
        self._store = store
        self._master = upstream.address
        self._down_ms: int | None = now_ms  # since when it is down; None while it is there
        self._reason = "not tried yet"
        self._is_refused = False

    def lost(self, reason: str, now_ms: int) -> None:
        """The link was lost, or did not come up."""
        self._reason = reason
        if self._down_ms is None:
            self._down_ms = now_ms

    def refused(self, reason: str, word: str = "") -> None:
        """The master said no, with this word of its error."""
        self._is_refused = word not in WAIT_WORDS
        if self._is_refused:
            self._store.raise_alarm(ALARM_REFUSED, master=self._master, reason=reason)

    def accepted(self) -> None:
        """The master takes this proxy."""
        self._is_refused = False
        self._store.end_alarm(ALARM_REFUSED, master=self._master)

    def there(self) -> None:
        """Records or changes flow."""
        self._down_ms = None
        self.accepted()
        self._store.end_alarm(ALARM_LINK, master=self._master)

    def tick(self, now_ms: int) -> None:
        """Raises what has lasted too long."""
        if self._down_ms is None or self._is_refused or now_ms - self._down_ms < DOWN_MS_MAX:
            return
        seconds = (now_ms - self._down_ms) // 1000
        self._store.raise_alarm(
            ALARM_LINK, master=self._master, seconds=seconds, reason=self._reason
        )
