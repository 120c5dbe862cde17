"""Takes new certificates of the ports into the loop, as their keeper publishes them.

1. What is there is taken before anybody is accepted; later what is new within LOOK_MS.
2. New connections get the new certificate; those that are open keep theirs until they end.
3. A bundle that this worker can't use, which its keeper could, is told; the one before stays.
4. Who says hello before the keeper has looked for a port's certificate waits for it, AWAITED_MS.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from csp._fastpath import TlsContext
from csp.observe.events import log_event
from csp.process.ports import Port, Security
from csp.tls.files import Bundle, InForce, facts_of
from csp.tls.published import Memory
from csp.worker.call import Lane

LOOK_MS: Final = 250  # a comparison of two numbers
LOOK_AWAITED_MS: Final = 20  # the same, while somebody may wait for it
AWAITED_MS: Final = 10_000  # a keeper that has not looked by then waits for a file system

log = logging.getLogger("csp.worker")


class Changed(Protocol):
    """Who is told that a port has another certificate, authority or list of what was revoked."""

    def __call__(self, port: int, context: TlsContext) -> None: ...


class Bundles:
    """Those in force in one worker."""

    def __init__(
        self, lane: Lane, make: Callable[[Bundle], TlsContext], changed: Changed | None = None
    ) -> None:
        self._lane = lane
        self._make = make
        self._changed = changed
        self._memory = Memory(lane.info.tls_fd) if lane.info.tls_fd >= 0 else None
        self._number = 0  # of the set that was taken last
        self._tried: dict[int, int] = {}  # by port: the number of its bundle that was tried last
        self._awaited: set[int] = set()  # ports that nobody has looked at yet
        self.shown: dict[int, InForce] = {}

    def start(self) -> None:
        """Takes what there is, and looks from now on; without a TLS port there is nothing to do."""
        if self._memory is None or not any(_is_tls(one) for one in self._lane.info.ports):
            return
        self._awaited = {one.number for one in self._lane.info.ports if _is_tls(one)}
        for port in self._awaited:
            self._lane.loop.await_tls(port, True)
        self._lane.loop.call_later(AWAITED_MS, self._await_no_more)
        self._check()

    def _check(self) -> None:
        self._look()
        self._lane.loop.call_later(LOOK_AWAITED_MS if self._awaited else LOOK_MS, self._check)

    def _await_no_more(self, looked_at: frozenset[int] | None = None) -> None:
        """Who waits for these ports' certificates, or for any, is served with what there is."""
        for port in self._awaited & looked_at if looked_at is not None else set(self._awaited):
            self._lane.loop.await_tls(port, False)
            self._awaited.discard(port)

    def _look(self) -> None:
        assert self._memory is not None
        if self._memory.number == self._number:
            return
        published = self._memory.read()
        if published is None:
            return
        self._number = published.number
        for port, one in published.ports.items():
            if self._tried.get(port) != one.number:
                self._tried[port] = one.number
                self._take(port, one.number, one.bundle)
        self._await_no_more(published.looked_at)

    def _take(self, port: int, number: int, bundle: Bundle) -> None:
        ports = self._lane.info.ports
        if port >= len(ports) or not _is_tls(ports[port]):
            return  # of a keeper that knew other ports
        try:
            context = self._make(bundle)
        except ValueError as error:
            log_event(log, "51228", port=ports[port].id, bundle=number, reason=error)
            return
        self._lane.loop.set_tls(port, context)
        self.shown[port] = InForce(number, facts_of(context))
        if self._changed is not None:
            self._changed(port, context)


def _is_tls(port: Port) -> bool:
    return port.security is not Security.UNSECURED


def make_context(bundle: Bundle) -> TlsContext:
    """What new connections of a port are served by; raises ValueError with words."""
    return TlsContext(bundle)
