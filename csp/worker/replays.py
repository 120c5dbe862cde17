"""Brings subscriptions what they missed and the log has let go: from the master, page by page.

1. What is told are the master's own entries, each proven by its mark to follow the one before it,
   the first from the place that the client named and the last to what this server's log goes on
   with; where that fails the client is told `resync`, never a part of it in silence.
2. A page is asked for once for all who stand at it, and kept while others come: ENTRIES_BYTES_MAX.
3. One is told a slice of an entry at a time, and no more while its socket has enough (slices.py).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from csp._fastpath import next_mark
from csp.model.entry import mark_of, revision_of
from csp.process.channel.asking import Answer, Done
from csp.worker.call import Lane
from csp.worker.slices import Slices
from csp.worker.starts import oldest_start

ENTRIES_BYTES_MAX = 32 * 1024 * 1024  # kept of a worker's pages
ENTRIES_MS_MAX = 10_000


@dataclass
class Replay:
    """One connection that is brought up to the log."""

    conn: int
    revision: int  # of the entry to be told next
    mark: int | None  # of the one before it; None: nobody said
    unsure: bool  # whether that is a place of this history
    item: int = 0  # of that entry


class Replays:
    """All of one worker."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._replays: dict[int, Replay] = {}
        self._slices = Slices(lane, self._slice)
        self._entries: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self._stream = b""
        self._asked: dict[int, list[int]] = {}  # by first revision: who waits for the page

    def __len__(self) -> int:
        return len(self._replays)

    def fetch(self, conn: int, revision: int, mark: int | None, unsure: bool) -> None:
        """The loop has a subscriber whose next entry, of this revision, has left the log.

        `unsure`: nobody knows whether the place is of this history.
        """
        self._replays[conn] = Replay(conn, revision, mark, unsure)
        self._lane.count("replays")
        self._slices.go_on(conn)

    def closed(self, conn: int) -> None:
        """Nobody is to be told any more."""
        self._replays.pop(conn, None)

    def keep(self, entries: list[bytes]) -> None:
        """Keeps a page for those who come to it."""
        stream = self._lane.reader.stream
        if stream != self._stream:
            self._entries.clear()
            self._bytes, self._stream = 0, stream
        for entry in entries:
            self._bytes -= len(self._entries.pop(revision_of(entry), b""))
            self._entries[revision_of(entry)] = entry
            self._bytes += len(entry)
        while self._bytes > ENTRIES_BYTES_MAX and len(self._entries) > 1:
            self._bytes -= len(self._entries.popitem(last=False)[1])

    def _slice(self, conn: int) -> None:
        replay, lane = self._replays.get(conn), self._lane
        if replay is None:
            return
        if not replay.item and replay.revision > oldest_start(lane.reader):
            self._join(replay)
        elif self._slices.waits(conn):
            return
        elif lane.reader.stream != self._stream or replay.revision not in self._entries:
            self._ask(replay.revision, conn)
        else:
            self._tell(replay, self._entries[replay.revision])

    def _join(self, replay: Replay) -> None:
        """The log goes on from here, if it is the same history."""
        reader = self._lane.reader
        if replay.mark is None:
            follows = True
        elif replay.revision > reader.revision:
            follows = replay.mark == reader.mark
        else:
            follows = reader.log_follows(replay.mark, replay.revision)
        self._end(replay, lost=not follows)

    def _tell(self, replay: Replay, entry: bytes) -> None:
        if replay.mark is not None and next_mark(replay.mark, entry) != mark_of(entry):
            self._end(replay, lost=True)
            return
        at = self._lane.loop.replay(replay.conn, entry, replay.item)
        if at < 0:
            self._replays.pop(replay.conn, None)
            return
        replay.item = at
        if at == 0:
            replay.revision, replay.mark = replay.revision + 1, mark_of(entry)
            replay.unsure = False
            self._lane.count("replayed")
        self._slices.go_on(replay.conn)

    def _end(self, replay: Replay, *, lost: bool) -> None:
        del self._replays[replay.conn]
        self._lane.loop.replay_end(replay.conn, lost=lost)

    def _ask(self, first: int, conn: int) -> None:
        waiting = self._asked.setdefault(first, [])
        waiting.append(conn)
        if len(waiting) > 1:
            return

        def answered(answer: Answer) -> None:
            found = answer.parts[1:] if isinstance(answer, Done) else []
            self.keep(found)
            for one in self._asked.pop(first):
                replay = self._replays.get(one)
                if replay is None:
                    continue
                if found:
                    self._slices.go_on(one)
                else:  # gone there too, or nobody can be asked: `resync`, here or from the log
                    self._end(replay, lost=replay.unsure)

        self._lane.reading.ask("ENTRIES", first, then=answered, within_ms=ENTRIES_MS_MAX)
