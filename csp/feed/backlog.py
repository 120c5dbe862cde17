"""Holds changes back, in order, while the store has no room for them.

1. Changes leave in the order in which they came, each whole.
2. Beyond BYTES_MAX the feed is not read any more: the rest waits at the master, in its log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from csp.feed.frames import Change
from csp.model.entry import parse_entry

BYTES_MAX = 64 * 1024 * 1024
RETRY_MS = 500  # readers let go of what they hold within a turn; more memory comes by hand


class Backlog:
    """The changes that wait for room."""

    def __init__(self) -> None:
        self._changes: deque[Change] = deque()
        self._size_bytes = 0
        self.since_ms: int | None = None  # when the store became full; None while it is not
        self._retry_ms = 0

    @property
    def newest(self) -> Change | None:
        """The change that came last."""
        return self._changes[-1] if self._changes else None

    @property
    def is_over(self) -> bool:
        """Whether no more should be taken."""
        return self._size_bytes > BYTES_MAX

    def hold(self, change: Change, now_ms: int) -> None:
        """Takes a change that has to wait."""
        if self.since_ms is None:
            self.since_ms = now_ms
            self._retry_ms = now_ms + RETRY_MS
        self._changes.append(change)
        self._size_bytes += change.size_bytes

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time to try again."""
        if self.since_ms is None or now_ms < self._retry_ms:
            return False
        self._retry_ms = now_ms + RETRY_MS
        return True

    def drain(self, apply: Callable[[Change], None]) -> None:
        """Applies what there is room for; the first refusal goes to the caller, in its place."""
        while self._changes:
            apply(self._changes[0])
            self._size_bytes -= self._changes.popleft().size_bytes
        self.since_ms = None

    def growth_bytes(self, stored: Callable[[int, int], bytes | None]) -> int:
        """What all changes together would add to the records that are stored."""
        sizes: dict[tuple[int, int], int] = {}
        for change in self._changes:
            for item in parse_entry(change.entry).items:
                sizes[item.class_id, item.dbid] = len(item.image)
        return sum(size - len(stored(*key) or b"") for key, size in sizes.items())

    def clear(self) -> None:
        """Forgets all: they come again."""
        self._changes.clear()
        self._size_bytes = 0
        self.since_ms = None
