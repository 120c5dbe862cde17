"""What a run may do to the way between two ends, and the way that is a small fault proxy."""

from __future__ import annotations

from typing import Protocol

from tests.neighbours.cutting_link import CuttingLink

DELAY_SECONDS = 0.05
BYTES_A_SECOND = 20_000


class Link(Protocol):
    """A way to a server: where one connects to, and what befalls all that goes over it."""

    host: str
    port: int

    def strike(self, what: str) -> None:
        """Begins one of the blows that its network can do."""

    def go_on(self) -> None:
        """All is well again, but for connections that are half-open."""

    def close(self) -> None:
        """Ends it, and what is connected by it."""


class Network(Protocol):
    """Makes links, all of one kind."""

    blows: frozenset[str]  # those of blows.OF_LINKS that it can do
    listens_at: str  # the address that servers have to listen at

    def link(self, port: int) -> Link:
        """A way to a server of this machine."""

    def __str__(self) -> str: ...


class ProxyLink(CuttingLink):
    """A fault proxy: a half-open peer is one whose bytes it swallows."""

    host = "127.0.0.1"

    def strike(self, what: str) -> None:
        if what in ("cut", "away"):
            self.refuses = what == "away"
            self.cut()
        elif what == "delay":
            self.delay_seconds = DELAY_SECONDS
        elif what == "throttle":
            self.bytes_a_second = BYTES_A_SECOND
        elif what == "hold":
            self.hold()
        else:
            self.drop()


class FaultProxies:
    """The network where no namespace is to be had."""

    blows = frozenset(("cut", "away", "delay", "throttle", "hold", "half-open"))
    listens_at = "127.0.0.1"

    def __init__(self, why: str) -> None:
        self._why = why

    def link(self, port: int) -> Link:
        return ProxyLink(port)

    def __str__(self) -> str:
        return f"fault proxies between all ends ({self._why})"
