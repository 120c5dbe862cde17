"""Sorts a history into streams: what one subscriber saw on one connection, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.validate.history import Bookmark, Gap, Read, Record, State, Subscribed, Synced, Told
from tests.validate.truth import FOREVER

Seen = Told | State | Synced | Bookmark | Gap | Read


@dataclass
class Stream:
    """One connection with subscriptions."""

    begin: Subscribed
    seen: list[Seen] = field(default_factory=list)

    def __str__(self) -> str:
        where = f" on connection {self.begin.connection}" if self.begin.connection else ""
        return f"{self.begin.who}{where} at {self.begin.server}"

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(name for name in self.begin.channels if name != "cfg.notice")

    def told(self) -> list[Told]:
        return [one for one in self.seen if isinstance(one, Told)]

    def stretches(self) -> Iterator[tuple[int, list[Seen], bool]]:
        """The pieces between gaps: after which revision each begins, and whether a gap ends it.

        After a gap it is known to go on with `oldest`, else with the first change that is told.
        """
        after = self.begin.start
        piece: list[Seen] = []
        for one in self.seen:
            if isinstance(one, Gap):
                yield after, piece, True
                after, piece = (one.oldest or FOREVER) - 1, []
                continue
            if isinstance(one, Told | Bookmark) and after == FOREVER - 1:
                after = one.revision - isinstance(one, Told)
            piece.append(one)
        yield after, piece, False


def streams_of(records: Iterable[Record]) -> list[Stream]:
    """All of them, by who and connection; reads on connections without subscriptions are none."""
    found: dict[tuple[str, int], Stream] = {}
    for one in records:
        if isinstance(one, Subscribed):
            found.setdefault((one.who, one.connection), Stream(one))
        elif isinstance(one, Seen):
            stream = found.get((one.who, one.connection))
            if stream is not None:
                stream.seen.append(one)
    return list(found.values())
