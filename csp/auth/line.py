"""Orders what waits to be compared: addresses in turn, one that fails often at a pace.

Pure: the clock is told to it.

1. Addresses are served in turn: behind n of them one waits for n comparisons, whatever each has.
2. Nobody takes the last place: an address may have as many as are free then, so that of n busy
   ones each gets 1/(n+1) of all, and as much is left for the next.
3. Who failed often lately is served at a pace and has few places: guessing is slow, nobody else is.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

WAITING_MAX = 1_000  # 20 s of comparisons
FAILURES_FREE = 10  # within FAILURES_MS: people mistype, and a balancer is one address
FAILURES_MS = 10_000
PACE_MS = 250  # between two comparisons of an address that fails more often
PACED_WAITING_MAX = 20  # of such an address: 5 s
ADDRESSES_MAX = 10_000  # whose failures are remembered
NETWORK_BITS = 64  # of IPv6: one host has them all


@dataclass
class Address(Generic[T]):
    """What is known of one address."""

    waiting: deque[T] = field(default_factory=deque)
    failures: deque[int] = field(default_factory=lambda: deque(maxlen=FAILURES_FREE + 1))
    next_ms: int = 0  # of its pace

    def is_paced(self, now_ms: int) -> bool:
        """Whether it failed too often lately."""
        return len(self.failures) > FAILURES_FREE and now_ms - self.failures[0] < FAILURES_MS


class Line(Generic[T]):
    """All that waits."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address[T]] = {}
        self._turns: deque[str] = deque()  # of addresses that have something waiting
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, address: str, task: T, now_ms: int) -> bool:
        """Puts a task behind its address's others; False where there is no place for it."""
        known = self._addresses.get(address) or Address()
        places = WAITING_MAX - self._count
        if known.is_paced(now_ms):
            places = min(places, PACED_WAITING_MAX)
        if len(known.waiting) >= places:
            return False  # nothing is kept of it: a flood has as many addresses as it likes
        self._addresses[address] = known
        if not known.waiting:
            self._turns.append(address)
        known.waiting.append(task)
        self._count += 1
        return True

    def take(self, now_ms: int) -> T | None:
        """The next task whose time has come."""
        for _ in range(len(self._turns)):
            name = self._turns.popleft()
            address = self._addresses[name]
            is_paced = address.is_paced(now_ms)
            if is_paced and now_ms < address.next_ms:
                self._turns.append(name)
                continue
            task = address.waiting.popleft()
            self._count -= 1
            address.next_ms = now_ms + PACE_MS
            if address.waiting:
                self._turns.append(name)
            elif not address.failures:
                del self._addresses[name]
            return task
        return None

    def failed(self, address: str, now_ms: int) -> list[T]:
        """A comparison of this address was in vain; what has no place any more at its pace."""
        known = self._addresses.setdefault(address, Address())
        known.failures.append(now_ms)
        dropped = []
        while known.is_paced(now_ms) and len(known.waiting) > PACED_WAITING_MAX:
            dropped.append(known.waiting.pop())
            self._count -= 1
        if len(self._addresses) > ADDRESSES_MAX:
            self._forget()
        return dropped

    def _forget(self) -> None:
        """Lets go of those that failed longest ago; the oldest half, so that it is done seldom."""
        idle = [name for name, known in self._addresses.items() if not known.waiting]
        idle.sort(key=lambda name: self._addresses[name].failures[-1])
        for name in idle[: ADDRESSES_MAX // 2]:
            del self._addresses[name]


def line_of(host: str) -> str:
    """Under which address a client's host waits: its own, or the network that one host has."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host
    if found.version == 4:
        return host
    return str(ipaddress.ip_network((found, NETWORK_BITS), strict=False))
