"""Holds where one connection stands that is fed with everything and every change."""

from __future__ import annotations

from dataclasses import dataclass, field

from csp.worker.feed_packing import Packing


@dataclass
class Feed:
    """One connection that is fed."""

    conn: int
    next_revision: int  # of the change to send next, once the records are out
    part: int = 0
    parts: int = 1
    classes: list[int] = field(default_factory=list)  # whose records are still to be sent
    after: int = 0  # the last DBID sent of classes[0]
    snapshot: bool = False
    resting: bool = False  # waits for the loop to say `writable`
    chain: tuple[bytes, ...] = ()  # what it was told of the servers above it
    present: tuple[bytes, ...] | None = None  # which servers it was told of
    waits: bool = False  # has its place among those that are served next
    packing: Packing | None = None  # where its frames go packed

    @property
    def is_held(self) -> bool:
        """Whether frames were built that are not sent yet."""
        return self.packing is not None and self.packing.has_more
