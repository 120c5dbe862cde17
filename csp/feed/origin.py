"""Fills and follows a proxy's store from its master's feed.

One session link registers the application and asks; feed links bring records and changes.

1. What the store serves is touched by whole transactions in the master's order, or by the flip to
   a new generation; while a generation loads, the one in force serves.
2. Each entry's checksum and mark are checked: a change that was lost or altered is never applied.
3. A loss of any link ends all of them; the next attempt begins with the store's own position.
4. A full store keeps what it has: changes wait, in order, and are tried again as memory frees.
   Where the later ones make up for the one that is too large, the master's present content is
   loaded as a new generation: that is how a deletion at the master helps a proxy that is full.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence

from csp import __version__
from csp._fastpath import StoreCorrupt, StoreFull
from csp.errors import CspError, MasterDown, ReadOnly
from csp.feed.backlog import Backlog
from csp.feed.frames import (
    Change,
    read_change,
    read_frame,
    read_history,
    read_outcome,
    read_revision,
    why_not,
)
from csp.feed.link import Link, LinkState
from csp.feed.phase import Clocks, Phase
from csp.feed.reports import Reports
from csp.feed.resume import (
    NOWHERE,
    Backoff,
    FeedError,
    Greeting,
    Position,
    decide,
    read_greeting,
    warnings_about,
    why_refuse,
)
from csp.feed.snapshot import Snapshot
from csp.model.history import HistoryPage, HistoryQuestion
from csp.model.requests import WriteOutcome, WriteRequest
from csp.observe.events import log_event
from csp.resp import ErrorReply, Value
from csp.store.context import ProcessContext
from csp.store.origin import LINK_DOWN, LINK_UP, Host, Later, Sums, Watch

PARTS = 4  # more than the master has workers gain nothing; fewer leave its cores idle
SILENCE_MS_MAX = 10_000  # a feed that is alive says so every second
LOAD_SILENCE_MS_MAX = 60_000  # a loading master may be short of a processor, but not of this much
STEADY_MS = 1_000  # a link that held so long has earned an attempt at once when it breaks
NO_ROOM_RETRY_MS = 5_000  # a load that found no room is a lot of work to try again
FITTING_RELOAD_MS = 1_000  # stuck so long behind changes that together need no more memory
FULL_RELOAD_MS = 15_000  # stuck so long, the master's present content is tried as a new generation
FULL_RELOAD_MS_MAX = 300_000

log = logging.getLogger("csp.feed")


class FeedOrigin:
    """The origin of a proxy."""

    def __init__(
        self, context: ProcessContext, *, clocks: Clocks | None = None, parts: int = PARTS
    ) -> None:
        if context.upstream is None:
            raise ValueError("a feed needs a master: the context names none")
        self.phase = Phase.AWAY
        self.why_away = "not tried yet"
        self._upstream = context.upstream
        self._application = context.app_name
        # The same program on another host is another instance.
        self._instance = f"{socket.gethostname()}/{context.instance}"
        self._clocks = clocks or Clocks()
        self._part_count = parts
        self._backoff = Backoff(self._clocks.random)
        self._host: Host
        self._session: Link | None = None
        self._feeds: dict[int, Link] = {}
        self._snapshot: Snapshot | None = None
        self._kept = 0  # the part whose link goes on as the feed
        self._load_mark = 0  # of the newest change taken while loading
        self._must_load = ""  # why the next attempt loads whatever the master says
        self._try_ms = 0
        self._following_since_ms = 0
        self._load_since_ms = 0
        self._reports = Reports(self._upstream.host, self._upstream.port)
        self._master_revision = 0
        self._root_time_ms = 0
        self._backlog = Backlog()
        self._loads_for_room = False  # the load under way is an attempt to get out of a full store
        self._full_reload_ms = FULL_RELOAD_MS
        self._growth_tried = 1  # only less than at the last attempt is worth another one at once

    # What the writer calls.

    def start(self, host: Host) -> None:
        """Begins the first attempt."""
        self._host = host
        if host.loaded:
            self._master_revision = host.published
            self._root_time_ms = host.time_ms
        self._show_link(LINK_DOWN)
        self._connect()

    def write(self, requests: Sequence[WriteRequest]) -> Sequence[WriteOutcome]:
        """A proxy takes no writes yet."""
        refused = ReadOnly("this proxy is read-only: write to its master")
        return [WriteOutcome(0, (), refused) for _ in requests]

    def outcome(self, write_id: str) -> str | Later[str]:
        """Asks the master."""
        later: Later[str] = Later()
        self._ask("CFG.OUTCOME", write_id, answer=lambda value: later.answer(read_outcome(value)))
        return later

    def head(self) -> int | Later[int]:
        """Asks the master for what it has now."""
        later: Later[int] = Later()
        self._ask("CFG.SYNC", answer=lambda value: later.answer(read_revision(value)))
        return later

    def sums(self, class_id: int | None, low: int, high: int) -> Iterator[Sums | None]:
        """A proxy has no database."""
        raise CspError("this server is a proxy: ask its master for the sums of the database")

    def history(self, question: HistoryQuestion) -> Later[HistoryPage]:
        """Asks the master."""
        later: Later[HistoryPage] = Later()
        words = question.words()
        self._ask("CFG.HISTORY", *words, answer=lambda value: later.answer(read_history(value)))
        return later

    def watches(self) -> Sequence[Watch]:
        """The links' sockets."""
        found = [link.watch() for link in self._links()]
        return [watch for watch in found if watch is not None]

    def tick(self, now_ms: int) -> None:
        """Retries, and gives up what is silent."""
        if self.phase is Phase.AWAY:
            if now_ms >= self._try_ms:
                self._connect()
            return
        for link in self._links():
            link.tick(now_ms)
        if self.phase is Phase.FOLLOWING:
            if now_ms - self._following_since_ms > STEADY_MS:
                self._backoff.reset()
            self._retry_full(now_ms)
        self._check_silence(now_ms)

    def close(self) -> None:
        """Ends the links."""
        self.phase = Phase.AWAY
        self._drop_links()

    # Connecting.

    def _connect(self) -> None:
        log_event(log, "04500", host=self._upstream.host, port=self._upstream.port)
        self.phase = Phase.SIGNING_IN
        self._session = self._new_link("session", self._register, self._unasked)

    def _new_link(
        self, name: str, on_ready: Callable[[], None], on_value: Callable[[Value], None]
    ) -> Link:
        return Link(
            self._upstream,
            title=f"csp-proxy-{name}",
            now_ms=self._clocks.monotonic_ms(),
            on_ready=on_ready,
            on_value=on_value,
            on_broken=self._lost,
        )

    def _register(self) -> None:
        assert self._session is not None
        self._session.command(
            *("CFG.REGISTER", self._application, "INSTANCE", self._instance),
            *("HOST", socket.gethostname(), "PID", os.getpid()),
            answer=self._registered,
        )

    def _registered(self, value: Value) -> None:
        if isinstance(value, ErrorReply):
            self._refused(f"application {self._application} refused: {value}")
            return
        log_event(log, "04503", host=self._upstream.host, port=self._upstream.port)
        self.phase = Phase.GREETING
        if self._must_load or not self._host.loaded:
            self._open_parts()
            return
        words = self._position().words()
        self._feeds[0] = self._new_link(
            "feed", lambda: self._feeds[0].stream("CFG.FEED", "FROM", *words), self._greeted
        )

    def _unasked(self, value: Value) -> None:
        self._lost(f"an answer that nobody asked for: {str(value)[:80]}")

    def _greeted(self, value: Value) -> None:
        """The first frame of a feed that asked to continue."""
        try:
            greeting = self._read_greeting(value)
            decision = decide(self._position(), greeting)
            if decision.load:
                self._load_anew(decision.reason)
                return
        except FeedError as error:
            self._refused(str(error))
            return
        log_event(log, "51300", reason=decision.reason)
        self._hear(greeting.position.revision, self._root_time_ms)
        self._follow(0)

    def _read_greeting(self, value: Value) -> Greeting:
        kind, frame = read_frame(value)
        if kind != b"greeting" or len(frame) != 1:
            raise FeedError(f"the feed begins with {kind[:32]!r} instead of a greeting")
        greeting = read_greeting(frame[0])
        why = why_refuse(greeting)
        if why is not None:
            raise FeedError(why)
        self._reports.warnings(warnings_about(greeting, __version__, ""))
        return greeting

    # Loading.

    def _position(self) -> Position:
        host = self._host
        return Position(host.stream, host.published, host.mark) if host.loaded else NOWHERE

    def _load_anew(self, reason: str) -> None:
        """Leaves the feed under way and loads; what is in force serves on."""
        log_event(log, "51301", reason=reason)
        self._must_load = reason
        for link in self._feeds.values():
            link.close()
        self._feeds.clear()
        self._backlog.clear()
        self.phase = Phase.GREETING
        self._open_parts()

    def _open_parts(self) -> None:
        self._load_since_ms = self._clocks.monotonic_ms()
        self._snapshot = Snapshot(self._part_count)
        for index in range(self._part_count):
            self._feeds[index] = self._open_part(index)

    def _open_part(self, index: int) -> Link:
        words = NOWHERE.words()
        of = ("PART", index, "OF", self._part_count)
        return self._new_link(
            f"part-{index}",
            lambda: self._feeds[index].stream("CFG.FEED", "FROM", *words, *of),
            lambda value: self._take_part(index, value),
        )

    def _take_part(self, index: int, value: Value) -> None:
        assert self._snapshot is not None
        try:
            if self._snapshot.parts[index].begin is None:
                self._begin_part(index, self._read_greeting(value))
                return
            kind, frame = read_frame(value)
            if kind == b"records" and len(frame) == 1:
                self._snapshot.record_bytes += len(frame[0])
                self._host.load(frame[0])
            elif kind == b"part" and len(frame) == 4:
                self._end_part(index, [int(word) for word in (frame[1], frame[3])], frame[2])
            elif kind == b"change" and self._snapshot.completed_all:
                self._load_change(read_change(frame))
            elif kind != b"alive":
                raise FeedError(why_not(kind, frame))
        except StoreFull as error:
            self._load_failed_full(str(error))
        except (FeedError, StoreCorrupt, ValueError) as error:
            self._refused(f"while loading: {error}")

    def _begin_part(self, index: int, greeting: Greeting) -> None:
        assert self._snapshot is not None
        if not greeting.snapshot:
            raise FeedError("the master continues where a snapshot was asked for")
        if self.phase is Phase.GREETING:
            self.phase = Phase.LOADING
            self._host.load_begin(greeting.position.stream)
        self._snapshot.greeted(index, greeting)
        self._hear(greeting.position.revision, self._root_time_ms)
        self._settle_parts()

    def _end_part(self, index: int, numbers: list[int], mark: bytes) -> None:
        assert self._snapshot is not None
        revision, time_ms = numbers
        self._snapshot.completed(index, revision, int(mark, 16), time_ms)
        self._feeds[index].paused = True
        self._settle_parts()

    def _settle_parts(self) -> None:
        """Closes the links that are done, and takes the kept one's changes once all are."""
        snapshot = self._snapshot
        assert snapshot is not None
        if not snapshot.greeted_all:
            return
        self._kept = snapshot.keep()
        for index, part in enumerate(snapshot.parts):
            if part.end is not None and index != self._kept and index in self._feeds:
                self._feeds.pop(index).close()
        if not snapshot.completed_all:
            return
        target, time_ms = snapshot.target()
        if target.revision == snapshot.begin().revision:
            self._end_load(target, time_ms)
            return
        self._load_mark = snapshot.begin().mark
        kept = self._feeds[self._kept]
        kept.paused = False
        kept.heard_ms = self._clocks.monotonic_ms()
        kept.take_pending()

    def _load_change(self, change: Change) -> None:
        assert self._snapshot is not None
        if not change.continues(self._load_mark):
            raise FeedError(f"the mark of revision {change.revision} does not follow")
        self._load_mark = change.mark
        self._host.load_entry(change.entry, change.accounts)
        self._hear(change.revision, change.time_ms)
        target, _ = self._snapshot.target()
        if change.revision == target.revision:
            if change.mark != target.mark:
                raise FeedError(f"the snapshot's mark at revision {target.revision} is another")
            self._end_load(target, change.time_ms)

    def _end_load(self, target: Position, time_ms: int) -> None:
        assert self._snapshot is not None
        record_bytes = self._snapshot.record_bytes
        self._host.load_end(target.revision, target.mark, time_ms)
        self._snapshot = None
        self._must_load = ""
        self._loads_for_room = False
        self._full_reload_ms = FULL_RELOAD_MS
        self._growth_tried = 1
        self._hear(target.revision, time_ms)
        elapsed_ms = self._clocks.monotonic_ms() - self._load_since_ms
        log_event(log, "51302", revision=target.revision, bytes=record_bytes, elapsed_ms=elapsed_ms)
        self._follow(self._kept)

    def _load_failed_full(self, reason: str) -> None:
        """The new generation has no room; the one in force serves on, and is followed again."""
        log_event(log, "51304", revision=self._host.published, reason=reason)
        if self._loads_for_room:
            self._must_load = ""
            self._loads_for_room = False
        self._lost(f"no room to load: {reason}", wait=True)

    # Following.

    def _follow(self, index: int) -> None:
        self.phase = Phase.FOLLOWING
        self._following_since_ms = self._clocks.monotonic_ms()
        link = self._feeds[index]
        link.on_value = self._take_change
        link.heard_ms = self._following_since_ms
        self._show_link(LINK_UP)
        if link.paused:
            link.paused = False
            link.take_pending()

    def _take_change(self, value: Value) -> None:
        try:
            kind, frame = read_frame(value)
            if kind == b"change":
                self._receive_change(read_change(frame))
            elif kind == b"alive" and len(frame) == 3:
                self._take_alive(int(frame[0]), int(frame[1], 16), int(frame[2]))
            else:
                raise FeedError(why_not(kind, frame))
        except (FeedError, ValueError) as error:
            self._lost(str(error))

    def _receive_change(self, change: Change) -> None:
        before = self._backlog.newest
        revision = before.revision if before else self._host.published
        mark = before.mark if before else self._host.mark
        if change.revision <= revision:
            raise FeedError(f"revision {change.revision} comes after {revision}")
        why = None
        if change.revision != revision + 1:
            why = f"revision {change.revision} comes after {revision}: changes are missing"
        elif not change.continues(mark):
            why = f"the mark of revision {change.revision} does not follow from {mark:016x}"
        if why is not None:
            self._load_anew(why)
            return
        self._hear(change.revision, change.time_ms)
        if self._backlog.since_ms is None:
            try:
                self._host.apply(change.entry, change.accounts)
            except StoreFull as error:
                log_event(log, "51304", revision=self._host.published, reason=error)
                self._hold_back(change)
            except StoreCorrupt as error:
                self._load_anew(f"revision {change.revision} can't be applied: {error}")
                return
        else:
            self._hold_back(change)
        self._show_link(LINK_UP)

    def _take_alive(self, revision: int, mark: int, time_ms: int) -> None:
        newest = self._backlog.newest
        have_revision = newest.revision if newest else self._host.published
        have_mark = newest.mark if newest else self._host.mark
        if revision < have_revision or (revision == have_revision and mark != have_mark):
            self._load_anew(f"the master is at revision {revision} mark {mark:016x} now")
            return
        self._hear(revision, time_ms)
        self._show_link(LINK_UP)

    def _hear(self, revision: int, time_ms: int) -> None:
        self._master_revision = max(revision, self._host.published)
        self._root_time_ms = max(self._root_time_ms, time_ms)

    def _show_link(self, state: int) -> None:
        self._host.set_link(state, self._master_revision, self._root_time_ms)

    # A full store.

    def _hold_back(self, change: Change) -> None:
        self._backlog.hold(change, self._clocks.monotonic_ms())
        if self._backlog.is_over:
            self._feeds[self._kept].paused = True

    def _retry_full(self, now_ms: int) -> None:
        since_ms = self._backlog.since_ms
        if since_ms is None or not self._backlog.is_due(now_ms):
            return
        try:
            self._backlog.drain(lambda change: self._host.apply(change.entry, change.accounts))
        except StoreFull:
            if self._is_reload_due(now_ms - since_ms):
                self._loads_for_room = True
                self._load_anew("the store is full: the master's present content may fit")
            return
        log_event(log, "51305", revision=self._host.published)
        self._show_link(LINK_UP)
        kept = self._feeds[self._kept]
        kept.heard_ms = now_ms
        if kept.paused:
            kept.paused = False
            kept.take_pending()

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

    # Losing the link.

    def _check_silence(self, now_ms: int) -> None:
        limit = SILENCE_MS_MAX if self.phase is Phase.FOLLOWING else LOAD_SILENCE_MS_MAX
        for link in list(self._feeds.values()):
            silent = link.state is LinkState.READY and not link.paused
            if silent and now_ms - link.heard_ms > limit:
                self._lost(f"silent for {limit} ms")
                return

    def _refused(self, reason: str) -> None:
        """The master is there and says no: asking again at once would not help."""
        if self.phase is not Phase.AWAY:
            self._backoff.skip_first()
            self._lost(reason)

    def _lost(self, reason: str, *, wait: bool = False) -> None:
        """Ends all links; the next attempt comes at once, or after a delay that grows."""
        if self.phase is Phase.AWAY:
            return
        was = self.phase
        now_ms = self._clocks.monotonic_ms()
        self.phase = Phase.AWAY
        self.why_away = reason
        self._drop_links()
        self._try_ms = now_ms + self._backoff.next_delay_ms()
        if wait:
            self._try_ms = max(self._try_ms, now_ms + NO_ROOM_RETRY_MS)
        self._reports.loss(was, reason, now_ms)
        self._show_link(LINK_DOWN)

    def _drop_links(self) -> None:
        for link in self._links():
            link.close()
        self._session = None
        self._feeds.clear()
        if self._snapshot is not None:
            if self._snapshot.stream:
                self._host.load_abort()
            self._snapshot = None
        self._backlog.clear()

    def _links(self) -> list[Link]:
        session = [self._session] if self._session is not None else []
        return session + list(self._feeds.values())

    def _ask(self, *arguments: str | int, answer: Callable[[Value], None]) -> None:
        link = self._session
        if link is None or link.state is not LinkState.READY:
            raise MasterDown(f"the master {self._upstream.host} is away: {self.why_away}")
        link.command(*arguments, answer=answer)
