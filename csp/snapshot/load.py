"""Loads a snapshot into a store: all records, the changes that some were too early for, the log.

1. Nothing is published unless all of the file was read, checked and taken: a load that fails is
   given up, and what is in force stays.
2. The changes up to the file's revision follow from one another, mark by mark.
3. The log's window is the newest part of the file's changes that has no gap and that fits.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from csp._fastpath import StoreError, StoreFull, next_mark
from csp.model.entry import mark_of, revision_of, split_entries
from csp.observe import failpoint
from csp.process.keyed_load import KeyedLoad
from csp.process.origin import StoreForOrigin
from csp.snapshot.file import CHANGES, RECORDS, SnapshotFile
from csp.snapshot.info import ANOTHERS, Info, SnapshotRefused


class _Place(NamedTuple):
    """Where one entry stands in the file."""

    revision: int
    at: int
    size: int


def load_snapshot(store: StoreForOrigin, path: Path, app_name: str) -> Info:
    """Publishes what the file holds; raises SnapshotRefused, StoreFull, FileNotFoundError.

    Where there is no room for the log beside the objects, the objects are loaded alone.
    """
    with SnapshotFile(path) as file:
        if file.info.application != app_name:
            raise SnapshotRefused(f"it is of Application {file.info.application!r}", ANOTHERS)
        try:
            _load(store, file, store.log_bytes)
        except StoreFull:
            _load(store, file, 0)
        return file.info


def _load(store: StoreForOrigin, file: SnapshotFile, log_bytes: int) -> None:
    info = file.info
    store.load_begin(info.end.stream)
    try:
        places = _load_records(store, file)
        _load_changes(store, file, places)
        for place in _window(places, info.end.revision, log_bytes):
            store.seed_log(file.read(place.at, place.size))
        failpoint.passed("snapshot.loaded")
        store.load_end(info.end.revision, info.end.mark, info.time_ms)
    except StoreFull:
        store.load_abort()
        raise
    except (StoreError, ValueError) as error:
        store.load_abort()
        raise SnapshotRefused(f"it can't be loaded: {error}") from error
    except BaseException:
        store.load_abort()
        raise


def _load_records(store: StoreForOrigin, file: SnapshotFile) -> list[_Place]:
    """Loads all records; where the changes stand, in their order."""
    records, places = KeyedLoad(store), []
    for block in file.blocks():
        if block.kind == RECORDS:
            records.take(block.payload, file.info.table)
        elif block.kind == CHANGES:
            for at, size in split_entries(block.payload):
                revision = int.from_bytes(block.payload[at + 16 : at + 24], "little")
                places.append(_Place(revision, block.at + at, size))
    records.settle()
    return places


def _load_changes(store: StoreForOrigin, file: SnapshotFile, places: list[_Place]) -> None:
    """Applies what came after the first look at the records."""
    begin, end = file.info.begin, file.info.end
    revision, mark = begin.revision, begin.mark
    for place in places:
        if place.revision <= begin.revision:
            continue
        entry = file.read(place.at, place.size)
        revision += 1
        mark = next_mark(mark, entry)
        if revision_of(entry) != revision or mark_of(entry) != mark:
            raise SnapshotRefused(f"its change of revision {place.revision} does not follow")
        store.load_entry(entry)
    if (revision, mark) != (end.revision, end.mark):
        raise SnapshotRefused(f"its changes end at revision {revision}, not {end.revision}")


def _window(places: list[_Place], last: int, bytes_max: int) -> list[_Place]:
    """The newest entries up to `last` without a gap that together have no more bytes."""
    size, first = 0, len(places)
    for number in range(len(places) - 1, -1, -1):
        size += places[number].size
        if places[number].revision != last - (len(places) - 1 - number) or size > bytes_max:
            break
        first = number
    return places[first:]
