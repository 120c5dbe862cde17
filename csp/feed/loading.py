"""Loads one snapshot into the store: all parts, then the changes up to the first whole revision.

1. While a generation loads, the one in force serves.
2. The kept part's changes are taken only when all parts are complete, and checked mark by mark.
3. It ends once: loaded, without room, refused, or given up by its owner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from csp._fastpath import StoreCorrupt, StoreFull
from csp.feed.frames import Change, not_here, read_change, read_frame
from csp.feed.heard import Heard
from csp.feed.links import Links
from csp.feed.phase import Clocks
from csp.feed.snapshot import Snapshot
from csp.model.feed import (
    ALIVE,
    CHANGE,
    NOWHERE,
    PART,
    RECORDS,
    SIDE,
    FeedEnded,
    FeedError,
    Greeting,
    Position,
    may_skip,
    read_numbers,
    request_words,
)
from csp.observe.events import log_event
from csp.process.keyed_load import KeyedLoad
from csp.process.origin import StoreForOrigin
from csp.resp import Value

log = logging.getLogger("csp.feed")


@dataclass(frozen=True)
class Outcomes:
    """Whom a load tells of its turns."""

    greeting: Callable[[Value], Greeting]  # reads the first frame of each part
    begun: Callable[[], None]
    loaded: Callable[[int], None]  # with the part whose link goes on as the feed
    full: Callable[[str], None]
    lost: Callable[[str], None]
    refused: Callable[[str, str], None]  # with the word of the master's error
    side: Callable[[bytes, Sequence[bytes]], None]  # what is said of servers: kind, words


class Loading:
    """One load."""

    def __init__(
        self, host: StoreForOrigin, links: Links, heard: Heard, clocks: Clocks, outcomes: Outcomes
    ) -> None:
        self._host = host
        self._links = links
        self._heard = heard
        self._clocks = clocks
        self._outcomes = outcomes
        self._snapshot = Snapshot(0)
        self._kept = 0  # the part whose link goes on as the feed
        self._mark = 0  # of the newest change taken
        self._records = KeyedLoad(host)
        self._since_ms = clocks.monotonic_ms()

    def start(self, count: int) -> None:
        """Asks for so many parts."""
        self._snapshot = Snapshot(count)
        for index in range(count):
            self._open_part(index, count)

    def give_up(self) -> None:
        """Leaves the store as it was."""
        if self._snapshot.stream:
            self._host.load_abort()

    def _open_part(self, index: int, count: int) -> None:
        words = request_words(NOWHERE, index, count)
        self._links.open_feed(index, f"part-{index}", words, lambda value: self._take(index, value))

    def _take(self, index: int, value: Value) -> None:
        try:
            if self._snapshot.parts[index].begin is None:
                self._begin_part(index, self._outcomes.greeting(value))
                return
            kind, frame = read_frame(value)
            if kind == RECORDS and len(frame) == 1:
                self._snapshot.record_bytes += len(frame[0])
                self._records.take(frame[0], self._snapshot.parts[index].table)
            elif kind == PART and len(frame) == 4:
                self._end_part(index, *read_numbers(frame))
            elif kind == CHANGE and self._snapshot.completed_all:
                self._take_change(read_change(frame))
            elif kind in SIDE:
                self._outcomes.side(kind, frame)
            elif kind != ALIVE and not may_skip(kind):
                raise not_here(kind, frame)
        except StoreFull as error:
            self._outcomes.full(str(error))
        except FeedEnded as error:
            self._outcomes.lost(f"while loading: {error}")
        except (FeedError, StoreCorrupt, ValueError) as error:
            word = error.word if isinstance(error, FeedError) else ""
            self._outcomes.refused(f"while loading: {error}", word)

    def _begin_part(self, index: int, greeting: Greeting) -> None:
        if not greeting.snapshot:
            raise FeedError("the master continues where a snapshot was asked for")
        if not self._snapshot.stream:
            self._outcomes.begun()
            self._host.load_begin(greeting.position.stream)
        self._snapshot.greeted(index, greeting)
        self._heard.revision(greeting.position.revision)
        self._settle()

    def _end_part(self, index: int, revision: int, mark: int, time_ms: int) -> None:
        self._snapshot.completed(index, revision, mark, time_ms)
        self._links.feeds[index].paused = True
        self._settle()

    def _settle(self) -> None:
        """Closes the links that are done, and takes the kept one's changes once all are."""
        snapshot = self._snapshot
        if not snapshot.greeted_all:
            return
        feeds = self._links.feeds
        self._kept = snapshot.keep()
        for index, part in enumerate(snapshot.parts):
            if part.end is not None and index != self._kept and index in feeds:
                feeds.pop(index).close()
        if not snapshot.completed_all:
            return
        self._records.settle()
        target, time_ms = snapshot.target()
        if target.revision == snapshot.begin().revision:
            self._end(target, time_ms)
            return
        self._mark = snapshot.begin().mark
        feeds[self._kept].go_on(self._clocks.monotonic_ms())

    def _take_change(self, change: Change) -> None:
        if not change.continues(self._mark):
            raise FeedError(f"the mark of revision {change.revision} does not follow")
        self._mark = change.mark
        self._host.load_entry(change.entry, change.accounts)
        self._heard.state(change.revision, change.time_ms)
        target, _ = self._snapshot.target()
        if change.revision == target.revision:
            if change.mark != target.mark:
                raise FeedError(f"the snapshot's mark at revision {target.revision} is another")
            self._end(target, change.time_ms)

    def _end(self, target: Position, time_ms: int) -> None:
        record_bytes = self._snapshot.record_bytes
        self._host.load_end(target.revision, target.mark, time_ms)
        self._heard.state(target.revision, time_ms)
        elapsed_ms = self._clocks.monotonic_ms() - self._since_ms
        log_event(log, "51302", revision=target.revision, bytes=record_bytes, elapsed_ms=elapsed_ms)
        self._outcomes.loaded(self._kept)
