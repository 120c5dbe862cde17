"""Decides whose write is next: the workers' queues are taken in turn."""

from __future__ import annotations

from collections import deque

from csp.process.channel.answering import Message, Peer


class Turns:
    """Takes waiting writes from the workers in turn, so that a busy one does not starve others."""

    def __init__(self) -> None:
        self._order: deque[Peer] = deque()

    def join(self, channel: Peer) -> None:
        """A worker came."""
        self._order.append(channel)

    def leave(self, channel: Peer) -> None:
        """A worker went."""
        self._order.remove(channel)

    def take(self, count_max: int, bytes_max: int) -> list[tuple[Peer, Message]]:
        """The next group: one write of each worker, again and again, up to the limits."""
        group: list[tuple[Peer, Message]] = []
        size_bytes = 0
        idle = 0
        while self._order and idle < len(self._order) and len(group) < count_max:
            channel = self._order[0]
            self._order.rotate(-1)
            if not channel.writes:
                idle += 1
                continue
            idle = 0
            message, size = channel.next_write()
            group.append((channel, message))
            size_bytes += size
            if size_bytes >= bytes_max:
                break
        return group
