"""Holds the workers' writes until their turn: connections take turns, each one's writes in order.

1. Whoever sends much waits behind itself: a group has one write of each connection, then a second.
2. A worker that sends faster than its writes are done is not read any further (`Peer.is_paused`).
3. The writes of a worker that went were not begun, so they never are.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from csp.process.channel.answering import Message, Peer

QUEUED_MAX = 100_000  # messages of one worker
QUEUED_BYTES_MAX = 128 * 1024 * 1024  # two of the largest transactions
WHO = 2  # the word of a message that says which connection of the worker it comes from


@dataclass(eq=False)
class Source:
    """The writes of one connection, with their sizes."""

    peer: Peer
    who: bytes
    writes: deque[tuple[Message, int]] = field(default_factory=deque)


@dataclass(eq=False)
class Load:
    """What waits of one worker."""

    count: int = 0
    size_bytes: int = 0
    sources: dict[bytes, Source] = field(default_factory=dict)

    def add(self, peer: Peer, count: int, size_bytes: int) -> None:
        """So much more, or less."""
        self.count += count
        self.size_bytes += size_bytes
        peer.is_paused = self.count >= QUEUED_MAX or self.size_bytes >= QUEUED_BYTES_MAX


class Turns:
    """All writes that wait."""

    def __init__(self) -> None:
        self._order: deque[Source] = deque()  # those with writes, whose turn is next first
        self._loads: dict[Peer, Load] = {}

    @property
    def has_writes(self) -> bool:
        """Whether a write waits."""
        return bool(self._order)

    def join(self, peer: Peer) -> None:
        """A worker came."""
        self._loads[peer] = Load()

    def leave(self, peer: Peer) -> None:
        """A worker went."""
        del self._loads[peer]
        self._order = deque(one for one in self._order if one.peer is not peer)

    def add(self, peer: Peer, message: Message) -> None:
        """Holds a write until its turn."""
        load = self._loads[peer]
        who = message[WHO] if len(message) > WHO else b""
        source = load.sources.get(who)
        if source is None:
            load.sources[who] = source = Source(peer, who)
            self._order.append(source)
        size = sum(len(word) for word in message)
        source.writes.append((message, size))
        load.add(peer, 1, size)

    def take(self, count_max: int, bytes_max: int) -> list[tuple[Peer, Message]]:
        """The next group: one write of each connection, again and again, up to the limits."""
        group: list[tuple[Peer, Message]] = []
        size_bytes = 0
        while self._order and len(group) < count_max and size_bytes < bytes_max:
            source = self._order.popleft()
            message, size = source.writes.popleft()
            load = self._loads[source.peer]
            load.add(source.peer, -1, -size)
            if source.writes:
                self._order.append(source)
            else:
                del load.sources[source.who]
            group.append((source.peer, message))
            size_bytes += size
        return group
