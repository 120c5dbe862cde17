"""Holds the workers' writes until their turn: connections take turns, each one's writes in order.

1. Whoever sends much waits behind itself: a group has one write of each connection, then a second.
2. A worker that sends faster than its writes are done is not read any further (`Peer.is_paused`).
3. The writes of a worker that went were not begun, so they never are.
4. Where another server decides, so many of one connection are under way, and so many of all; one
   that is large is alone among its connection's.  The others wait here: what comes of bulk is not
   faster than that, and delays nobody.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from csp.process.channel.answering import Message, Peer

QUEUED_MAX = 100_000  # messages of one worker
QUEUED_BYTES_MAX = 128 * 1024 * 1024  # two of the largest transactions
LARGE_BYTES = 64 * 1024  # what travels in pieces, which others may overtake
UNDER_WAY_BYTES_MAX = 160 * 1024 * 1024  # of all, at another server: two of the largest
WHO = 2  # the word of a message that says which connection of the worker it comes from


@dataclass(eq=False)
class Source:
    """The writes of one connection, with their sizes."""

    peer: Peer
    who: bytes
    writes: deque[tuple[Message, int]] = field(default_factory=deque)
    under_way: int = 0
    is_waiting: bool = False  # for one of them to be decided


@dataclass(frozen=True, eq=False, slots=True)
class Taken:
    """A write whose turn it is."""

    source: Source
    message: Message
    size: int

    @property
    def peer(self) -> Peer:
        """The worker that sent it."""
        return self.source.peer


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


@dataclass
class Pace:
    """How many may be under way at another server."""

    of_one: int
    of_all: int


class Turns:
    """All writes that wait, and how many are under way."""

    def __init__(self, pace: Pace | None = None) -> None:
        """`pace`: where another server decides."""
        self._pace = pace
        self._order: deque[Source] = deque()  # those with writes, whose turn is next first
        self._loads: dict[Peer, Load] = {}
        self._under_way = 0
        self._under_way_bytes = 0

    @property
    def has_writes(self) -> bool:
        """Whether there is a write whose turn it could be."""
        return bool(self._order) and self._has_room()

    @property
    def are_open(self) -> bool:
        """Whether a write waits or is not decided."""
        return self._under_way > 0 or self.waiting > 0

    @property
    def under_way(self) -> int:
        """How many were taken and are not decided."""
        return self._under_way

    @property
    def waiting(self) -> int:
        """How many were not taken yet."""
        return sum(load.count for load in self._loads.values())

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
        size = sum(len(word) for word in message)
        source.writes.append((message, size))
        load.add(peer, 1, size)
        if len(source.writes) == 1:
            self._line_up(source)

    def take(self, count_max: int, bytes_max: int) -> list[Taken]:
        """The next group: one write of each connection, again and again, up to the limits."""
        group: list[Taken] = []
        size_bytes = 0
        while self.has_writes and len(group) < count_max and size_bytes < bytes_max:
            source = self._order.popleft()
            message, size = source.writes.popleft()
            self._loads[source.peer].add(source.peer, -1, -size)
            source.under_way += 1
            self._under_way += 1
            self._under_way_bytes += size
            self._line_up(source, size)
            group.append(Taken(source, message, size))
            size_bytes += size
        return group

    def decided(self, taken: Taken) -> None:
        """A write that was taken has its outcome."""
        source = taken.source
        source.under_way -= 1
        self._under_way -= 1
        self._under_way_bytes -= taken.size
        load = self._loads.get(source.peer)
        if load is None:
            return
        if source.is_waiting:
            self._line_up(source)
        elif not source.writes and not source.under_way:
            load.sources.pop(source.who, None)

    def _line_up(self, source: Source, before: int = 0) -> None:
        """Its next write has its turn in time, or when one of those under way is decided."""
        source.is_waiting = False
        if not source.writes:
            return
        source.is_waiting = self._pace is not None and source.under_way > 0 and (
            source.under_way >= self._pace.of_one
            or max(before, source.writes[0][1]) > LARGE_BYTES
        )  # fmt: skip
        if not source.is_waiting:
            self._order.append(source)

    def _has_room(self) -> bool:
        pace = self._pace
        return pace is None or (
            self._under_way < pace.of_all and self._under_way_bytes < UNDER_WAY_BYTES_MAX
        )
