"""Applies a feed's changes as they come, whole and in the master's order.

1. Each change's checksum and mark are checked: one that was lost or altered is never applied.
2. What can be applied as it came is, many changes in one call of the store; the first that can't is
   taken by itself here, which finds out why.
3. A full store keeps what it has: changes wait, in order, and are tried again as memory frees.
   Where the later ones make up for the one that is too large, the master's present content is
   loaded as a new generation: that is how a deletion at the master helps a proxy that is full.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from csp._fastpath import StoreCorrupt, StoreFull
from csp.feed.backlog import Backlog
from csp.feed.frames import Change, not_here, read_change, read_frame
from csp.feed.heard import Heard
from csp.feed.link import Link
from csp.model.feed import (
    ALIVE,
    CHANGE,
    ROOT,
    SIDE,
    FeedEnded,
    FeedError,
    may_skip,
    read_numbers,
    read_root,
)
from csp.observe.events import log_event
from csp.process.origin import StoreForOrigin
from csp.resp import Value

FITTING_RELOAD_MS = 1_000  # stuck so long behind changes that together need no more memory
FULL_RELOAD_MS = 15_000  # stuck so long, the master's present content is tried as a new generation
FULL_RELOAD_MS_MAX = 300_000

log = logging.getLogger("csp.feed")


class Following:
    """The changes of the feed under way, and those that found no room."""

    def __init__(
        self,
        host: StoreForOrigin,
        heard: Heard,
        monotonic_ms: Callable[[], int],
        *,
        on_lost: Callable[[str], None],
        on_wrong: Callable[[str], None],
        on_other: Callable[[str], None],
        on_side: Callable[[bytes, Sequence[bytes]], None],
    ) -> None:
        """`on_lost`: the feed ended; `on_wrong`: what it brings makes no sense; `on_other`: what is
        in force has to be loaded anew; `on_side`: what is said of servers, kind and words.
        """
        self.loads_for_room = False  # the load under way is an attempt to get out of a full store
        self._host = host
        self._heard = heard
        self._monotonic_ms = monotonic_ms
        self._on_lost = on_lost
        self._on_wrong = on_wrong
        self._on_other = on_other
        self._on_side = on_side
        self._link: Link | None = None
        self._backlog = Backlog()
        self._full_reload_ms = FULL_RELOAD_MS
        self._growth_tried = 1  # only less than at the last attempt is worth another one at once

    def follow(self, link: Link) -> None:
        """Takes the changes of a link that has been greeted, or has loaded."""
        self._link = link
        link.on_value = self._take
        link.on_bytes = self._take_many
        self._heard.show_up()
        link.go_on(self._monotonic_ms())

    @property
    def is_level(self) -> bool:
        """Whether nothing waits for room: what came is applied."""
        return self._backlog.since_ms is None

    def forget(self) -> None:
        """The feed ended, or is left: what waits comes again."""
        self._link = None
        self._backlog.clear()

    def loaded(self) -> None:
        """A generation was loaded: there is room again."""
        self.loads_for_room = False
        self._full_reload_ms = FULL_RELOAD_MS
        self._growth_tried = 1

    def tick(self, now_ms: int) -> None:
        """Tries again what found no room."""
        since_ms = self._backlog.since_ms
        if since_ms is None or not self._backlog.is_due(now_ms):
            return
        try:
            self._backlog.drain(lambda change: self._host.apply(change.entry, change.accounts))
        except StoreFull:
            if self._is_reload_due(now_ms - since_ms):
                self.loads_for_room = True
                self._on_other("the store is full: the master's present content may fit")
            return
        log_event(log, "51305", revision=self._host.published)
        self._heard.show_up()
        if self._link is not None:
            self._link.go_on(now_ms)

    # What comes.

    def _take_many(self, frames: memoryview) -> tuple[int, bool]:
        """Has the store apply what the received bytes begin with: see StoreForOrigin.follow."""
        if self._backlog.since_ms is not None:
            return 0, False
        before = self._host.published
        taken = self._host.follow(frames)
        if self._host.published != before:
            self._heard.state(self._host.published, self._host.time_ms)
            self._heard.show_up()
        return taken

    def _take(self, value: Value) -> None:
        try:
            kind, frame = read_frame(value)
            if kind == CHANGE:
                self._take_change(read_change(frame))
            elif kind == ALIVE and len(frame) == 3:
                self._take_alive(*read_numbers(frame))
            elif kind == ROOT and len(frame) == 2:
                revision, is_there = read_root(frame)
                self._heard.root(revision, is_there=is_there)  # shown with the next `alive`
            elif kind in SIDE:
                self._on_side(kind, frame)
            elif not may_skip(kind):
                raise not_here(kind, frame)
        except FeedEnded as error:
            self._on_lost(str(error))
        except (FeedError, ValueError, KeyError) as error:
            self._on_wrong(str(error))

    def _newest(self) -> tuple[int, int]:
        """Revision and mark of the newest change, held back ones included."""
        newest = self._backlog.newest
        if newest is not None:
            return newest.revision, newest.mark
        return self._host.published, self._host.mark

    def _take_change(self, change: Change) -> None:
        revision, mark = self._newest()
        if change.revision <= revision:
            raise FeedError(f"revision {change.revision} comes after {revision}")
        why = None
        if change.revision != revision + 1:
            why = f"revision {change.revision} comes after {revision}: changes are missing"
        elif not change.continues(mark):
            why = f"the mark of revision {change.revision} does not follow from {mark:016x}"
        if why is not None:
            self._on_other(why)
            return
        self._heard.state(change.revision, change.time_ms)
        if self._backlog.since_ms is None:
            try:
                self._host.apply(change.entry, change.accounts)
            except StoreFull as error:
                log_event(log, "51304", revision=self._host.published, reason=error)
                self._hold_back(change)
            except StoreCorrupt as error:
                self._on_other(f"revision {change.revision} can't be applied: {error}")
                return
        else:
            self._hold_back(change)
        self._heard.show_up()

    def _take_alive(self, revision: int, mark: int, time_ms: int) -> None:
        have_revision, have_mark = self._newest()
        if revision < have_revision or (revision == have_revision and mark != have_mark):
            self._on_other(f"the master is at revision {revision} mark {mark:016x} now")
            return
        self._heard.state(revision, time_ms)
        self._heard.show_up()

    # A full store.

    def _hold_back(self, change: Change) -> None:
        self._backlog.hold(change, self._monotonic_ms())
        if self._backlog.is_over and self._link is not None:
            self._link.paused = True

    def _is_reload_due(self, stuck_ms: int) -> bool:
        """Whether the master's present content is to be tried: it fits, or it is time to see."""
        if stuck_ms > self._full_reload_ms:
            self._full_reload_ms = min(self._full_reload_ms * 2, FULL_RELOAD_MS_MAX)
            return True
        if stuck_ms < FITTING_RELOAD_MS:
            return False
        growth = self._backlog.growth_bytes(self._host.image)
        is_less = growth < self._growth_tried
        self._growth_tried = min(growth, self._growth_tried)
        return is_less
