"""Holds the workers' writes until their turn: they are taken in turn, each worker's in order.

1. A worker that sends faster than its writes are done is not read any further (`Peer.is_paused`).
2. The writes of a worker that went were not begun, so they never are.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from csp.process.channel.answering import Message, Peer

QUEUED_MAX = 100_000  # messages of one worker
QUEUED_BYTES_MAX = 128 * 1024 * 1024  # two of the largest transactions


@dataclass(eq=False)
class Queue:
    """The writes of one worker, with their sizes."""

    peer: Peer
    writes: deque[tuple[Message, int]] = field(default_factory=deque)
    size_bytes: int = 0

    def add(self, message: Message) -> None:
        """Puts one behind the others."""
        size = sum(len(word) for word in message)
        self.writes.append((message, size))
        self.size_bytes += size
        self._pause()

    def next(self) -> tuple[Message, int]:
        """The oldest, which leaves the queue."""
        message, size = self.writes.popleft()
        self.size_bytes -= size
        self._pause()
        return message, size

    def _pause(self) -> None:
        self.peer.is_paused = len(self.writes) >= QUEUED_MAX or self.size_bytes >= QUEUED_BYTES_MAX


class Turns:
    """All workers' queues."""

    def __init__(self) -> None:
        self._order: deque[Queue] = deque()
        self._queues: dict[Peer, Queue] = {}

    @property
    def has_writes(self) -> bool:
        """Whether a write waits."""
        return any(queue.writes for queue in self._order)

    def join(self, peer: Peer) -> None:
        """A worker came."""
        self._queues[peer] = queue = Queue(peer)
        self._order.append(queue)

    def leave(self, peer: Peer) -> None:
        """A worker went."""
        self._order.remove(self._queues.pop(peer))

    def add(self, peer: Peer, message: Message) -> None:
        """Holds a write until its turn."""
        self._queues[peer].add(message)

    def take(self, count_max: int, bytes_max: int) -> list[tuple[Peer, Message]]:
        """The next group: one write of each worker, again and again, up to the limits."""
        group: list[tuple[Peer, Message]] = []
        size_bytes = 0
        idle = 0
        while self._order and idle < len(self._order) and len(group) < count_max:
            queue = self._order[0]
            self._order.rotate(-1)
            if not queue.writes:
                idle += 1
                continue
            idle = 0
            message, size = queue.next()
            group.append((queue.peer, message))
            size_bytes += size
            if size_bytes >= bytes_max:
                break
        return group
