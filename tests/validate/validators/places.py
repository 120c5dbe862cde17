"""Judges whether anything is lost: on a connection, over a lost one, and before a bookmark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.validate.history import NOW, Bookmark, Finished, Gap, Record, Told
from tests.validate.streams import Seen, Stream, streams_of
from tests.validate.truth import FOREVER, Truth

MISSING_SHOWN_MAX = 3
Name = tuple[int, str, str]  # revision, operation, key


def reliable(records: Sequence[Record]) -> list[str]:
    """Every change that a subscription is about was told, on whichever connection."""
    truth, found = Truth(records), []
    ends = {one.who: one.revision for one in records if isinstance(one, Finished)}
    by_who: dict[str, list[Stream]] = defaultdict(list)
    for stream in streams_of(records):
        by_who[stream.begin.who].append(stream)
    for who, streams in by_who.items():
        first, last = streams[0], ends.get(who, 0)
        excused = [span for stream in streams for span in _gaps(stream)]
        for channel in first.channels:
            told = {
                _name(one) for stream in streams for one in stream.told() if one.channel == channel
            }
            wanted = _wanted(truth, channel, first.begin.start, last)
            missing = [
                name
                for name in wanted
                if name not in told and not any(low <= name[0] <= high for low, high in excused)
            ]
            if missing:
                found.append(f"{who} was never told on {channel}: {_some(missing)}")
    return found


def resumable(records: Sequence[Record]) -> list[str]:
    """A subscription goes on behind its place without a hole; no place is refused needlessly."""
    truth, found = Truth(records), []
    for stream in streams_of(records):
        begin = stream.begin
        if begin.after != NOW and begin.start != begin.after:
            found.append(f"{stream}: asked to go on after {begin.after}, got {begin.start}")
        for told in stream.told():
            if told.revision <= begin.start:
                found.append(f"{stream}: {told.key} at {told.revision}, behind {begin.start}")
        found += _needless_gaps(stream)
        for after, piece, _ in stream.stretches():
            changes = [one for one in piece if isinstance(one, Told)]
            if not changes:
                continue
            # The newest transaction may have been cut off; all before it are complete.
            last = max(one.revision for one in changes) - 1
            missing = _missing(stream, truth, after, last, changes)
            if missing:
                found.append(f"{stream}: a hole after {after}: {_some(missing)}")
    return found


def bookmarkable(records: Sequence[Record]) -> list[str]:
    """What a bookmark covers was told before it, nothing of it comes later, and its mark is one."""
    truth, found = Truth(records), []
    marks: dict[int, str] = {}
    for stream in streams_of(records):
        places: list[tuple[int, str]] = [(stream.begin.start, stream.begin.mark)]
        for after, piece, _ in stream.stretches():
            found += _covered(stream, truth, after, piece)
            places += [(one.revision, one.mark) for one in piece if isinstance(one, Bookmark)]
        for revision, mark in places:
            if mark and marks.setdefault(revision, mark) != mark:
                found.append(f"{stream}: {revision} has mark {mark}, elsewhere {marks[revision]}")
    return found


def _covered(stream: Stream, truth: Truth, after: int, piece: list[Seen]) -> list[str]:
    found: list[str] = []
    checked, bookmarked, told = after, 0, []
    for one in piece:
        if isinstance(one, Told):
            told.append(one)
            if one.revision <= bookmarked:
                found.append(
                    f"{stream}: {one.key} at {one.revision} was told behind the bookmark of "
                    f"{bookmarked}"
                )
        elif isinstance(one, Bookmark):
            if one.revision < max((one.revision for one in told), default=0):
                found.append(f"{stream}: the bookmark of {one.revision} comes behind later changes")
            missing = _missing(stream, truth, checked, one.revision, told)
            if missing:
                found.append(
                    f"{stream}: the bookmark of {one.revision} came before {_some(missing)}"
                )
            checked = bookmarked = max(bookmarked, one.revision)
            told = []
    return found


def _needless_gaps(stream: Stream) -> list[str]:
    found, place = [], stream.begin.start
    for one in stream.seen:
        if isinstance(one, Told | Bookmark):
            place = max(place, one.revision)
        elif isinstance(one, Gap) and (not one.oldest or one.oldest <= place + 1):
            found.append(f"{stream}: a gap after {place}, though nothing had passed it: {one.why}")
    return found


def _gaps(stream: Stream) -> list[tuple[int, int]]:
    """The revisions that may be missing: they are told of as gaps."""
    found, ended, is_open = [], stream.begin.start, False
    for after, piece, ends in stream.stretches():
        if is_open:
            found.append((ended, after))
        revisions = [one.revision for one in piece if isinstance(one, Told | Bookmark)]
        ended = max([ended, *revisions])
        is_open = ends
    return found if not is_open else [*found, (ended, FOREVER)]


def _wanted(truth: Truth, channel: str, after: int, last: int) -> list[Name]:
    return [
        (one.revision, part.op, part.key)
        for one, parts in truth.heard(channel, after, last)
        for part in parts
    ]


def _missing(
    stream: Stream, truth: Truth, after: int, last: int, told: Iterable[Told]
) -> list[tuple[int, str, str]]:
    told_on: dict[str, set[Name]] = defaultdict(set)
    for one in told:
        told_on[one.channel].add(_name(one))
    return [
        name
        for channel in stream.channels
        for name in _wanted(truth, channel, after, last)
        if name not in told_on[channel]
    ]


def _name(told: Told) -> Name:
    return told.revision, told.op, told.key


def _some(missing: list[Name]) -> str:
    shown = [f"{op} of {key} at {at}" for at, op, key in missing[:MISSING_SHOWN_MAX]]
    rest = len(missing) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
