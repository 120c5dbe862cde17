"""Looks up all addresses of a host's name without holding its caller up.

1. A name is looked up on a thread: the resolver may take as long as it likes, and can't be stopped.
   At most one is under way for a host; a caller waits LOOKUP_MS_MAX for it.
2. Where the name server says nothing, or no, the addresses that were known last are used.
3. An address needs no look-up and has no thread.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from csp.observe.clock import monotonic_ms

LOOKUP_MS_MAX = 5_000  # a resolver asks the next name server after that long
POLL_SECONDS = 0.01


class Endpoint(NamedTuple):
    """One address of a host, and the port."""

    family: int
    sockaddr: tuple[Any, ...]

    def __str__(self) -> str:
        host, port = self.sockaddr[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class LookupFailed(Exception):
    """There is no address for the name; the text says why."""


LookUp = Callable[..., Sequence[tuple[Any, ...]]]


class Lookup:
    """The addresses of one host."""

    def __init__(self, host: str, port: int, look_up: LookUp = socket.getaddrinfo) -> None:
        self._host, self._port = host, port
        self._look_up = look_up
        self._known: tuple[Endpoint, ...] = ()
        self._asked: _Question | None = None
        self._since_ms = 0

    def begin(self, now_ms: int) -> None:
        """Asks, unless an earlier question is still under way."""
        self._since_ms = now_ms
        if self._asked is None or self._asked.is_done:
            self._asked = _Question(self._host, self._port, self._look_up)

    def take(self, now_ms: int) -> Sequence[Endpoint] | None:
        """The addresses in the order in which to try them; None while they are not known yet.

        Raises LookupFailed.
        """
        asked = self._asked
        assert asked is not None, "begin was not called"
        if not asked.is_done:
            if now_ms - self._since_ms < LOOKUP_MS_MAX:
                return None
            return self._or_known(f"no name server answers within {LOOKUP_MS_MAX} ms")
        if asked.why_not:
            return self._or_known(asked.why_not)
        self._known = asked.found
        return self._known

    def wait(self) -> Sequence[Endpoint]:
        """Asks and waits, for a process that has nothing else to do. Raises LookupFailed."""
        self.begin(monotonic_ms())
        while (found := self.take(monotonic_ms())) is None:
            time.sleep(POLL_SECONDS)
        return found

    def _or_known(self, why_not: str) -> Sequence[Endpoint]:
        if not self._known:
            raise LookupFailed(f"the address of {self._host} is not known: {why_not}")
        return self._known


class _Question:
    """One look-up: done at once for an address, else on a thread of its own."""

    def __init__(self, host: str, port: int, look_up: LookUp) -> None:
        self.is_done = False
        self.found: tuple[Endpoint, ...] = ()
        self.why_not = ""
        try:
            numeric = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
        except OSError:
            ask = threading.Thread(target=self._ask, args=(host, port, look_up), daemon=True)
            ask.start()
        else:
            self.found = _endpoints(numeric)
            self.is_done = True

    def _ask(self, host: str, port: int, look_up: LookUp) -> None:
        try:
            self.found = _endpoints(look_up(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:  # a label that is too long is a UnicodeError
            self.why_not = getattr(error, "strerror", None) or str(error)
        if not self.found and not self.why_not:
            self.why_not = "it has none"
        self.is_done = True  # last: the caller reads the rest only then


def _endpoints(rows: Sequence[tuple[Any, ...]]) -> tuple[Endpoint, ...]:
    """Each once, in the resolver's order."""
    return tuple(dict.fromkeys(Endpoint(row[0], row[4]) for row in rows))
