"""Logs what happens to the link, each thing once and a failure that repeats now and then."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from csp.feed.phase import Phase
from csp.observe.events import log_event

SAME_REASON_MS = 60_000  # a failure that repeats is logged again after this

log = logging.getLogger("csp.feed")


class Reports:
    """What was said already about the link to one master."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._warned: set[str] = set()
        self._reason, self._reason_ms = "", 0

    def once(self, number: str, *, reason: str) -> None:
        """An event once for each reason in the life of the process."""
        if reason not in self._warned:
            self._warned.add(reason)
            log_event(log, number, reason=reason)

    def warnings(self, texts: Iterable[str]) -> None:
        """Each warning once in the life of the process."""
        for text in texts:
            if text not in self._warned:
                self._warned.add(text)
                log_event(log, "51303", text=text)

    def loss(self, was: Phase, reason: str, now_ms: int) -> None:
        """04504 for a link that was up, 04502 for one that did not come up."""
        number = "04502" if was in (Phase.SIGNING_IN, Phase.GREETING) else "04504"
        is_same = number == "04502" and reason == self._reason
        if is_same and now_ms - self._reason_ms < SAME_REASON_MS:
            return
        self._reason, self._reason_ms = reason, now_ms
        log_event(log, number, host=self._host, port=self._port, reason=reason)
