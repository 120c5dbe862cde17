"""Writes a proxy's snapshot from its segments: slice after slice, then what changed meanwhile.

1. Each slice is read at a revision of its own, copied, and written when nothing is pinned any more.
2. The log goes along from its oldest entry to the revision of the last look, which is the file's:
   it makes up for what a slice was too early for, and skips what records have already.
3. Account records are not in the log: those that changed meanwhile are written once more, as they
   are at the file's revision.
4. A generation that was replaced meanwhile is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import orjson

from csp import __version__
from csp._fastpath import Control, StoreReader
from csp.model.entry import accounts_changed
from csp.model.feed import FED_CLASSES, Position
from csp.model.image import build_tombstone
from csp.model.keys import TABLE_DIGEST
from csp.model.types import ACCOUNT_CLASS_ID, ENVIRONMENT
from csp.observe.clock import wall_ms
from csp.process.application import application_of
from csp.snapshot.file import CHANGES, RECORDS, Draft
from csp.snapshot.info import Info
from csp.snapshot.pace import Pace
from csp.store import segment
from csp.store.guest import Guest

SLICE_BYTES = 1 << 20  # copied under one pin: some 0.3 ms


class SnapshotFailed(Exception):
    """This snapshot did not come about; the text says why. The one before is as it was."""


def write_snapshot(
    instance: str,
    path: Path,
    app_name: str,
    pace: Pace,
    *,
    table: int = TABLE_DIGEST,
    known: Info | None = None,
) -> Info:
    """Writes what an instance serves; raises SnapshotFailed, OSError (the disk), LockHeld.

    `table`: of the segments, where another release has built them. `known`: the snapshot there is;
    it stays, and is answered, where nothing has changed since.
    """
    control = Control(segment.open_control(instance))
    generation = control.generation
    if not generation:
        raise SnapshotFailed("nothing is loaded")
    try:
        guest = Guest(instance, control)
    except segment.SegmentMissing as error:
        raise SnapshotFailed(str(error)) from error
    with closing(guest):
        if known is not None and _is_of(known, guest.reader, app_name, table):
            return known
        draft = Draft(path)
        try:
            writing = _Writing(guest.reader, draft, pace)
            writing.records()
            info = writing.end(control, app_name, table)
            if control.generation != generation:
                raise SnapshotFailed(f"generation {generation} was replaced meanwhile")
            draft.finish(info)
        except BaseException:
            draft.abandon()
            raise
    return info


def _is_of(known: Info, reader: StoreReader, app_name: str, table: int) -> bool:
    reader.pin()
    there = Position(reader.stream, reader.revision, reader.mark)
    reader.unpin()
    was = known.end, known.application, known.table, known.release
    return was == (there, app_name, table, __version__)


class _Writing:
    """One snapshot under way."""

    def __init__(self, reader: StoreReader, draft: Draft, pace: Pace) -> None:
        self._reader = reader
        self._draft = draft
        self._pace = pace
        self._accounts: set[int] = set()  # that changed since the begin
        self._record_bytes = 0
        self._target = 0  # the revision of the newest slice
        with self._pinned():
            self._begin = self._position()
            self._first = self._next = reader.oldest  # of the log

    def records(self) -> None:
        """All records, class by class, the log along with them."""
        for class_id in FED_CLASSES:
            after = 0
            while True:
                with self._pinned():
                    images, after = self._reader.raw_images(class_id, after, SLICE_BYTES)
                    changes = self._changes(self._reader.revision)
                    self._target = self._reader.revision
                self._put(RECORDS, images)
                self._put(CHANGES, changes)
                if not after:
                    break

    def end(self, control: Control, app_name: str, table: int) -> Info:
        """The rest of the log, and the accounts that it doesn't hold; what the file is."""
        while self._next <= self._target:
            with self._pinned():
                changes = self._changes(self._target)
            self._put(CHANGES, changes)
        with self._pinned():
            end, time_ms = self._position(), self._reader.time_ms
            rest = []
            while self._next <= end.revision:
                rest.append(self._changes(end.revision))
            accounts = b"".join(self._account(dbid, end.revision) for dbid in self._accounts)
            own = application_of(self._reader, app_name)
            _, _, heard_ms = control.link()
        for changes in rest:
            self._put(CHANGES, changes)
        self._put(RECORDS, accounts)
        return Info(
            application=app_name,
            begin=self._begin,
            end=end,
            time_ms=time_ms,
            heard_ms=heard_ms,
            written_ms=wall_ms(),
            record_bytes=self._record_bytes,
            changes=end.revision - self._first + 1,
            own=orjson.loads(own or b"{}"),
            table=table,
        )

    @contextmanager
    def _pinned(self) -> Iterator[None]:
        self._reader.pin()
        try:
            yield
        finally:
            self._reader.unpin()

    def _position(self) -> Position:
        """Of what is pinned."""
        found = Position(self._reader.stream, self._reader.revision, self._reader.mark)
        if found.revision and not found.mark:
            raise SnapshotFailed(f"the change log has lost revision {found.revision} at once")
        return found

    def _changes(self, last: int) -> bytes:
        """The next entries of the log, up to revision `last` and about a slice."""
        found: list[bytes] = []
        size = 0
        while self._next <= last and size < SLICE_BYTES:
            entry = self._reader.raw_entry(self._next)
            if entry is None:
                self._skip_lost()
                continue
            if self._next > self._begin.revision:
                self._accounts.update(accounts_changed(entry))
            found.append(entry)
            size += len(entry)
            self._next += 1
        return b"".join(found)

    def _skip_lost(self) -> None:
        """The log has let go of the next entry: history may begin later, the rest may not miss."""
        oldest = self._reader.oldest
        if oldest > self._begin.revision + 1 or oldest <= self._next:
            raise SnapshotFailed(
                f"the change log has lost revision {self._next} while the snapshot was written: "
                "changes come faster than it is"
            )
        self._first = self._next = oldest

    def _account(self, dbid: int, revision: int) -> bytes:
        image = self._reader.raw_image(ACCOUNT_CLASS_ID, dbid)
        return image or build_tombstone(ACCOUNT_CLASS_ID, dbid, revision, ENVIRONMENT)

    def _put(self, kind: bytes, payload: bytes) -> None:
        if payload:
            self._draft.add(kind, payload)
        if kind == RECORDS:
            self._record_bytes += len(payload)
        self._pace.rest()
