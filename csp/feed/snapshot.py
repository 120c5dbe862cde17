"""Follows the parts of one snapshot and says when the store may publish.

1. Part i of n carries, of every class, the objects whose DBID leaves i when divided by n.
2. A part's records were read between its greeting's revision (begin) and its `part` frame's (end).
3. The link of the part with the earliest begin goes on as the feed: it has every later change.
4. Its changes are taken only when all parts are complete: a record read before its deletion could
   otherwise arrive after it.
5. The store is whole, and published first, at the latest end; older changes skip what records have.
"""

from __future__ import annotations

from dataclasses import dataclass

from csp.model.feed import FeedError, Greeting, Position


@dataclass
class Part:
    """What is known of one part."""

    begin: Position | None = None
    end: Position | None = None
    time_ms: int = 0
    table: int = 0  # digest of the key table that built its records' keys


class Snapshot:
    """The parts of one load."""

    def __init__(self, count: int) -> None:
        self.parts = [Part() for _ in range(count)]
        self.stream = b""
        self.record_bytes = 0
        self._marks: dict[int, int] = {}  # by revision, as any part names them

    def greeted(self, index: int, greeting: Greeting) -> None:
        """A part's link was greeted."""
        if self.stream and greeting.position.stream != self.stream:
            raise FeedError("the master changed its stream during the snapshot")
        self.stream = greeting.position.stream
        self._note(greeting.position.revision, greeting.position.mark)
        self.parts[index].begin = greeting.position
        self.parts[index].table = greeting.table

    def completed(self, index: int, revision: int, mark: int, time_ms: int) -> None:
        """A part is complete."""
        part = self.parts[index]
        if part.begin is None or part.end is not None:
            raise FeedError(f"part {index} ends twice, or before its greeting")
        if revision < part.begin.revision:
            raise FeedError(f"part {index} ends at revision {revision}, before it began")
        self._note(revision, mark)
        part.end = Position(self.stream, revision, mark)
        part.time_ms = time_ms

    def _note(self, revision: int, mark: int) -> None:
        """Parts of one history have one mark at a revision."""
        if self._marks.setdefault(revision, mark) != mark:
            raise FeedError(f"parts of the snapshot have different marks at revision {revision}")

    @property
    def greeted_all(self) -> bool:
        """Whether it is known which part began first."""
        return all(part.begin is not None for part in self.parts)

    @property
    def completed_all(self) -> bool:
        """Whether all records have come."""
        return all(part.end is not None for part in self.parts)

    def keep(self) -> int:
        """The part whose link goes on as the feed: the one that began first."""
        begins = [part.begin.revision for part in self.parts if part.begin is not None]
        return begins.index(min(begins))

    def begin(self) -> Position:
        """Where the kept link's changes begin."""
        begin = self.parts[self.keep()].begin
        assert begin is not None
        return begin

    def target(self) -> tuple[Position, int]:
        """Where the store is whole, and the time of that revision: the latest end."""
        ends = [(part.end, part.time_ms) for part in self.parts if part.end is not None]
        return max(ends, key=lambda end: end[0].revision)
