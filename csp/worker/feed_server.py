"""CFG.FEED: gives another csp everything this one has, then every change as it is published.

1. A part's records are read at the revision of its greeting or later; its changes begin after the
   greeting's revision. So nothing is missed, and what comes twice is known by its revision.
2. Those that follow are served first in a turn, before clients hear of a change; snapshot parts,
   and those that are behind, with the timers, after the clients. Each gets a slice in turn, while
   the turn's CPU lasts, and no more than TURN_BYTES, PARTS_BYTES of it for parts, and one frame
   more. A hundred proxies that load at once take longer, and delay no client.
3. A connection holds at most FEED_UNSENT_BYTES_MAX and one frame more before it waits, until the
   loop says `writable` below that: a slow receiver costs neither time nor memory.
4. Packed frames count by what they were before: packing, not sending, is what takes time then.
5. It is told whom this server follows, at once and when that changes: so a circle ends.
6. A receiver that the log's tail passes, whatever it is about to be sent, is told so within a
   second and closed: it comes back and decides anew.
7. It is told which servers are registered here and above, at once when one comes or goes.
8. One whose account is no administrator any more is told so and closed in the turn that sees it:
   what was published with the loss, or behind it, is not sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from csp._fastpath import FEED_UNSENT_BYTES_MAX
from csp.model.entry import accounts_changed, mark_of
from csp.model.feed import (
    BYE,
    CHAIN,
    CHANGE,
    FED_CLASSES,
    PACKED,
    PRESENT,
    RECORDS,
    Asked,
    Position,
    alive_words,
    greeting_words,
    part_words,
    read_request,
    root_words,
)
from csp.model.image import build_tombstone
from csp.model.types import ACCOUNT_CLASS_ID, ENVIRONMENT
from csp.observe.clock import wall_ms
from csp.process.channel.asking import Answer, Done
from csp.resp.encode import request
from csp.store.control import LINK_DATABASE, LINK_UP, link_now
from csp.worker.call import Call, Handler, Lane
from csp.worker.feed import Feed
from csp.worker.feed_packing import Packing
from csp.worker.scoped import check_whole, scope_of

SLICE_BYTES = 256 * 1024  # copied for one feed at a time: some 50 µs
TURN_BYTES = 1024 * 1024
PARTS_BYTES = 512 * 1024
ALIVE_MS = 1_000
FEEDS = "feeds"
PART_ALONE = "it shows a part alone from now on ([csproxy] scope)"
NO_ADMINISTRATOR = "its account has no Change Permissions on CfgTenant:1 any more"
ROOT_THERE = (LINK_DATABASE, LINK_UP)


class Feeds:
    """All feeds of this worker."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._feeds: dict[int, Feed] = {}
        self._ticking = False
        self._following: deque[Feed] = deque()  # that have something to be sent, in turn
        self._parts: deque[Feed] = deque()
        self._has_turn = False  # one was asked for
        self._chain: tuple[bytes, ...] = ()  # this server and those above, as the writer said last
        self._present: tuple[bytes, ...] | None = None  # DBIDs, as the writer said last
        self._asks_present = False  # and hears when they are others
        self._built: tuple[int, bytes] = (0, b"")  # revision and frame of the newest change built

    def __len__(self) -> int:
        return len(self._feeds)

    def add(self, feed: Feed) -> None:
        """Starts a feed after its greeting."""
        state = self._lane.states[feed.conn]
        state.on_close[FEEDS] = lambda: self._remove(feed.conn)
        self._feeds[feed.conn] = feed
        if not self._ticking:
            self._ticking = True
            self._lane.loop.call_later(ALIVE_MS, self._tick)
        self._ask_chain()
        self._ask_present()
        self._lane.loop.call_later(0, lambda: self._tell_present(feed))  # behind the greeting
        self._schedule(feed)

    def _ask_chain(self) -> None:
        def answered(answer: Answer) -> None:
            if isinstance(answer, Done):
                self._chain = tuple(answer.parts)
                for feed in self._feeds.values():
                    self._tell_chain(feed)

        self._lane.writer.ask("CHAIN", then=answered)

    def _tell_chain(self, feed: Feed) -> None:
        if feed.chain != self._chain and not feed.resting:
            feed.chain = self._chain
            self._lane.loop.push(feed.conn, request(CHAIN, *self._chain))

    def _ask_present(self) -> None:
        """The answer comes when others are there than the writer said last."""

        def answered(answer: Answer) -> None:
            self._asks_present = False
            if isinstance(answer, Done):
                self._present = tuple(answer.parts)
                for feed in self._feeds.values():
                    self._tell_present(feed)
                self._ask_present()

        if self._feeds and not self._asks_present:
            self._asks_present = True
            known = self._present if self._present is not None else (b"0",)  # nobody's DBID
            self._lane.writer.ask("PRESENT", *known, then=answered)

    def _tell_present(self, feed: Feed) -> None:
        is_there = self._feeds.get(feed.conn) is feed and not feed.resting
        if is_there and feed.present != self._present and self._present is not None:
            feed.present = self._present
            self._lane.loop.push(feed.conn, request(PRESENT, *self._present))

    def _remove(self, conn: int) -> None:
        self._feeds.pop(conn, None)

    def published(self) -> None:
        """There are changes to send: those that follow get them now."""
        for feed in self._feeds.values():
            self._wait_turn(feed)
        self._serve_some(self._following, TURN_BYTES)
        self._ask_turn()

    def writable(self, conn: int) -> None:
        """The receiver has taken what it had."""
        feed = self._feeds.get(conn)
        if feed is not None:
            feed.resting = False
            self._schedule(feed)

    def _schedule(self, feed: Feed) -> None:
        """It is served in the next turn."""
        self._wait_turn(feed)
        self._ask_turn()

    def _wait_turn(self, feed: Feed) -> None:
        if not feed.resting and not feed.waits:
            feed.waits = True
            (self._parts if feed.snapshot else self._following).append(feed)

    def _ask_turn(self) -> None:
        if not self._has_turn and (self._following or self._parts):
            self._has_turn = True
            self._lane.loop.call_later(0, self._turn)

    def _turn(self) -> None:
        """Sends what is left of a turn, to those that follow first."""
        self._has_turn = False
        left = self._serve_some(self._following, TURN_BYTES)
        self._serve_some(self._parts, min(left, PARTS_BYTES))
        self._ask_turn()

    def _serve_some(self, waiting: deque[Feed], room: int) -> int:
        """Gives each of them a slice while there is room and time; how much room is left."""
        for _ in range(len(waiting)):
            feed = waiting.popleft()
            feed.waits = False
            if self._feeds.get(feed.conn) is feed and not feed.resting and self._may_go_on(feed):
                room -= self._advance(feed)
                if room <= 0 or self._lane.loop.is_turn_over():
                    break
        return room

    def _advance(self, feed: Feed) -> int:
        """Sends a slice; how many bytes it was."""
        if feed.packing is not None:
            return self._advance_packed(feed, feed.packing)
        loop = self._lane.loop
        size = 0
        for frame in self._frames(feed):
            loop.push(feed.conn, frame)
            size += len(frame)
            if feed.conn not in self._feeds:
                return size
            if loop.pending(feed.conn) > FEED_UNSENT_BYTES_MAX:
                feed.resting = True
                return size
            if size >= SLICE_BYTES:
                self._wait_turn(feed)
                return size
        return size

    def _advance_packed(self, feed: Feed, packing: Packing) -> int:
        loop = self._lane.loop
        size = packing.fill(self._frames(feed), SLICE_BYTES)
        if feed.conn not in self._feeds or not size:
            return size
        loop.push(feed.conn, request(PACKED, packing.take(SLICE_BYTES)))
        if loop.pending(feed.conn) > FEED_UNSENT_BYTES_MAX:
            feed.resting = True
        elif size >= SLICE_BYTES:
            self._wait_turn(feed)
        return size

    def _frames(self, feed: Feed) -> Iterator[bytes]:
        yield from self._record_frames(feed)
        reader = self._lane.reader
        while feed.next_revision <= reader.revision:
            frame = self._change(feed.next_revision)
            if frame is None:
                self._end_passed(feed)
                return
            feed.next_revision += 1
            yield frame

    def _change(self, revision: int) -> bytes | None:
        """The frame of a change; None where the log has lost it. Built once for all that follow."""
        if self._built[0] != revision:
            entry = self._lane.reader.raw_entry(revision)
            if entry is None:
                return None
            self._built = (revision, request(CHANGE, entry, *self._accounts(entry)))
        return self._built[1]

    def _record_frames(self, feed: Feed) -> Iterator[bytes]:
        reader = self._lane.reader
        while feed.classes:
            images, feed.after = reader.raw_images(
                feed.classes[0], feed.after, SLICE_BYTES, feed.part, feed.parts
            )
            if feed.after == 0:
                feed.classes.pop(0)
            if images:
                yield request(RECORDS, images)
        if feed.snapshot:
            feed.snapshot = False
            position = Position(reader.stream, reader.revision, reader.mark)
            yield request(*part_words(feed.part, position, reader.time_ms))

    def _accounts(self, entry: bytes) -> Iterator[bytes]:
        """The account records of the persons whose account changed with it.

        Of one that changed again since, only the newest is kept: it goes with its own change. One
        that is gone is told so: no hash stays where nobody can see it.
        """
        revision = _revision_of(entry)
        for dbid in accounts_changed(entry):
            image = self._lane.reader.raw_image(ACCOUNT_CLASS_ID, dbid)
            if image is None:
                yield build_tombstone(ACCOUNT_CLASS_ID, dbid, revision, ENVIRONMENT)
            elif _revision_of(image) <= revision:
                yield image

    def _may_go_on(self, feed: Feed) -> bool:
        """Ends the feed of an account that may not have it any more."""
        if not self._lane.loop.session(feed.conn).administrator:
            self._end(feed, NO_ADMINISTRATOR)
            return False
        if scope_of(self._lane) is not None:
            self._end(feed, PART_ALONE)
            return False
        return True

    def _end_passed(self, feed: Feed) -> None:
        self._end(feed, f"revision {feed.next_revision} is no longer in the log")

    def _end(self, feed: Feed, why: str) -> None:
        self._lane.loop.push(feed.conn, request(BYE, why))
        self._lane.loop.close(feed.conn)
        self._lane.states[feed.conn].on_close.pop(FEEDS, None)
        self._remove(feed.conn)

    def _tick(self) -> None:
        """Says to each silent feed what there is, and how old it is."""
        if not self._feeds:
            self._ticking = False
            return
        self._lane.loop.call_later(ALIVE_MS, self._tick)
        self._ask_chain()
        self._ask_present()
        reader = self._lane.reader
        link, root_revision, _ = link_now(self._lane.control)
        frame = request(*root_words(root_revision, is_there=link in ROOT_THERE))
        frame += request(*alive_words(reader.revision, reader.mark, self._root_time_ms()))
        self._built = (0, b"")  # a large one is not kept for long
        for feed in list(self._feeds.values()):
            if not self._may_go_on(feed):
                continue
            self._tell_present(feed)
            # Behind records or changes that are still to come it would be too early.
            is_sent = not feed.snapshot and not feed.is_held
            is_level = is_sent and feed.next_revision > reader.revision
            if is_level and not feed.resting:
                self._lane.loop.push(feed.conn, frame)
            elif feed.next_revision < min(reader.oldest, reader.revision + 1):
                self._end_passed(feed)
            else:
                self._wait_turn(feed)
        self._ask_turn()

    def _root_time_ms(self) -> int:
        link, _, heard_ms = link_now(self._lane.control)
        return wall_ms() if link == LINK_DATABASE else heard_ms


def _revision_of(data: bytes) -> int:
    """Of an entry or a record image: both have it at the same place."""
    return int.from_bytes(data[16:24], "little")


def feed(call: Call) -> bytes:
    """CFG.FEED FROM stream revision mark [PART i OF n] FORMAT f [COMPRESS zstd]"""
    check_whole(call)
    asked = read_request(call.args[1:])
    lane = call.lane
    reader = lane.reader
    published = reader.revision
    goes_on = asked.part is None and _continues(call, asked)
    call.session.feed = True
    if goes_on:
        started = Feed(call.conn, asked.revision + 1)
    else:
        part, parts = asked.part or 0, asked.parts
        started = Feed(call.conn, published + 1, part, parts, list(FED_CLASSES), snapshot=True)
    if asked.packed:
        started.packing = Packing()
    lane.feeds.add(started)
    position = Position(reader.stream, published, reader.mark)
    return request(*greeting_words(lane.info.release, position, snapshot=not goes_on))


def _continues(call: Call, asked: Asked) -> bool:
    """Whether (stream, revision, mark) is a state of this history that the log goes on from."""
    reader, revision = call.lane.reader, asked.revision
    if asked.stream != reader.stream.hex() or revision > reader.revision:
        return False
    if revision == reader.revision:
        return asked.mark == f"{reader.mark:016x}"
    if reader.raw_entry(revision + 1) is None or asked.mark == "-":
        return False
    entry = reader.raw_entry(revision)
    if entry is None:  # what was loaded here is just that state: the entry behind it knows its mark
        return reader.log_follows(int(asked.mark, 16), revision + 1)
    return asked.mark == f"{mark_of(entry):016x}"


HANDLERS: dict[str, Handler] = {"cfg.feed": feed}
