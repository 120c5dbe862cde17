"""Judges whether a cache that is told by CLIENT TRACKING serves what it was told to be stale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.validate.history import Dropped, Finished, Hit, Read, Record, Settled, Shown, Tracked
from tests.validate.truth import Truth

Seen = Read | Dropped | Settled | Hit
TAKEN_BACK = -1  # for a revision


@dataclass
class Cache:
    """What one connection's cache may hold, and how new all of it has to be."""

    begin: Tracked
    least: int  # a revision of which all that it holds still is
    held: dict[str, int] = field(default_factory=dict)  # revisions
    taken_back: dict[str, tuple[float, int]] = field(default_factory=dict)  # when, and what

    def __str__(self) -> str:
        where = f"connection {self.begin.connection} at {self.begin.server}"
        return f"{self.begin.who} ({self.begin.mode}) on {where}"

    @property
    def is_in_step(self) -> bool:
        """Whether it is told on the connection that reads: before any reply that is newer."""
        return self.begin.mode != "redirect"


def tracked(records: Sequence[Record]) -> list[str]:
    """Nothing is served that was taken back, or that a change had replaced which it knew of."""
    truth, found = Truth(records), []
    caches: dict[tuple[str, int], Cache] = {}
    finished: dict[str, int] = {}
    for one in records:
        if isinstance(one, Tracked):
            caches[one.who, one.connection] = Cache(one, finished.get(one.who, 0))
        elif isinstance(one, Finished):
            finished[one.who] = one.revision
            for cache in caches.values():
                if cache.begin.who == one.who:
                    cache.least = max(cache.least, one.revision)
        elif isinstance(one, Seen) and (one.who, one.connection) in caches:
            found += _saw(caches[one.who, one.connection], one, truth)
    return found


def _saw(cache: Cache, one: Seen, truth: Truth) -> Iterable[str]:
    if isinstance(one, Read):
        yield from _read(cache, one)
    elif isinstance(one, Dropped):
        _take_back(cache, one)
    elif isinstance(one, Settled):
        cache.least = max(cache.least, one.revision)
    else:
        yield from _served(cache, one, truth)


def _read(cache: Cache, read: Read) -> Iterable[str]:
    for shown in read.shown:
        time, before = cache.taken_back.get(shown.key, (0.0, 0))
        if cache.is_in_step:
            if shown.revision and shown.revision <= before:
                yield (
                    f"{cache}: {shown.key} at {before} was taken back, and read again as it was "
                    f"at {shown.revision}"
                )
            cache.least = max(cache.least, shown.revision)
        elif read.began < time:
            continue  # the reply was on its way: it may be what was taken back
        cache.held[shown.key] = shown.revision


def _take_back(cache: Cache, told: Dropped) -> None:
    for key in told.keys or [*cache.held]:
        _, before = cache.taken_back.get(key, (0.0, 0))
        # Of a null it is not said that any of them has changed.
        known = max(before, cache.held.get(key, 0)) if told.keys else before
        cache.taken_back[key] = (told.time, known)
        cache.held[key] = TAKEN_BACK


def _served(cache: Cache, hit: Hit, truth: Truth) -> Iterable[str]:
    if cache.held.get(hit.key, TAKEN_BACK) != hit.revision:
        yield f"{cache}: served {hit.key} at {hit.revision}, which it was to have dropped"
        return
    committed = truth.committed.get(hit.revision)
    if committed is not None and committed.value != hit.value:
        yield f"{cache}: served {hit.key} at {hit.revision} as {hit.value}"
    last = max((end for _, end in truth.spans(Shown(hit.key, hit.revision, hit.value))), default=-1)
    if last < cache.least:
        yield (
            f"{cache}: served {hit.key} at {hit.revision}, which {last + 1} had changed, when it "
            f"knew of {cache.least}"
        )
