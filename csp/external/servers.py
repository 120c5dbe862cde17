"""The servers of one directory, in order: the one that answers is asked by all until it does not.

1. The first that answers is the active one and stays it, for later users too, also when one before
   it is back; only when it does not answer the next is tried, once around.
2. An answer is final, whichever it is: nobody who was refused is tried at another server.
3. No server takes all the time that is left: each gets its share, so that the last is tried too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from csp.external.backend import Kind, Verdict
from csp.observe.events import log_event

log = logging.getLogger("csp.external")


class ServerAway(Exception):
    """A server did not answer; the text says why."""


class Named(Protocol):
    """A server."""

    @property
    def name(self) -> str: ...  # for logs


S = TypeVar("S", bound=Named)


class Servers(Generic[S]):
    """The servers of one directory; asked by several threads."""

    def __init__(self, directory: str, servers: Sequence[S]) -> None:
        self._directory = directory
        self._servers = servers
        self._active = 0
        self._guard = threading.Lock()

    def ask(self, ask: Callable[[S, float], Verdict], deadline: float) -> Verdict:
        """The verdict of the first that answers; `ask` gets a server and a deadline of its own."""
        with self._guard:
            first = self._active
        reasons = []
        count = len(self._servers)
        for number in range(count):
            index = (first + number) % count
            server = self._servers[index]
            now = time.monotonic()
            if now >= deadline:
                reasons.append(f"{server.name}: no time was left")
                continue
            try:
                verdict = ask(server, now + (deadline - now) / (count - number))
            except ServerAway as why:
                reasons.append(f"{server.name}: {why}")
                continue
            self._answered(first, index, reasons)
            return verdict
        return Verdict(Kind.AWAY, "; ".join(reasons))

    def _answered(self, first: int, index: int, reasons: Sequence[str]) -> None:
        if index == first:
            return
        with self._guard:
            is_news = self._active == first  # not yet known by another thread
            if is_news:
                self._active = index
        if is_news:
            log_event(
                log,
                "51254",
                directory=self._directory,
                server=self._servers[index].name,
                reason="; ".join(reasons),
            )
