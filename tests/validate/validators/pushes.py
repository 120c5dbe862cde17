"""Judges whether what is told is true, asked for, and before the reads that show it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.validate.history import Part, Read, Record, Told
from tests.validate.streams import Stream, streams_of
from tests.validate.truth import Truth, matches


def filter_correct(records: Sequence[Record]) -> list[str]:
    """What is told was done, with that value, and is what the subscription is about."""
    truth, found = Truth(records), []
    for stream in streams_of(records):
        for told in stream.told():
            part = _part_of(truth, told)
            if told.channel not in stream.channels:
                found.append(f"{stream}: told on {told.channel}, which it did not subscribe to")
            elif part is None:
                found.append(
                    f"{stream}: told of the {told.op} of {told.key} at {told.revision}, which "
                    "never was"
                )
            elif not matches(told.channel, part):
                found.append(f"{stream}: {told.key} at {told.revision} is not of {told.channel}")
            elif told.op != "delete" and told.value != truth.committed[told.revision].value:
                found.append(f"{stream}: {told.key} at {told.revision} came as {told.value}")
    return found


def event_before_data(records: Sequence[Record]) -> list[str]:
    """On one connection a change comes before any read that shows it, and none behind is older."""
    truth, found = Truth(records), []
    for stream in streams_of(records):
        found += _in_step(stream, truth)
    return found


def _in_step(stream: Stream, truth: Truth) -> list[str]:
    found = []
    for after, piece, _ in stream.stretches():
        told: set[tuple[str, int, str]] = set()
        checked = newest = after
        for one in piece:
            if isinstance(one, Told):
                told.add((one.channel, one.revision, one.key))
                newest = max(newest, one.revision)
            elif isinstance(one, Read):
                spans = truth.spans_of_all(one.shown)
                if not spans:
                    continue  # atomic says so
                if spans[-1][1] < newest:
                    found.append(f"{stream}: a read behind the change of {newest} shows an older")
                # What is not there may never have been: only what is there was surely made.
                low = max((shown.revision for shown in one.shown), default=0)
                early = [
                    f"{part.key} at {committed.revision}"
                    for channel in stream.channels
                    for committed, parts in truth.heard(channel, checked, low)
                    for part in parts
                    if (channel, committed.revision, part.key) not in told
                ]
                if early:
                    found.append(f"{stream}: a read showed before it was told: {early[0]}")
                checked = max(checked, low)
    return found


def _part_of(truth: Truth, told: Told) -> Part | None:
    committed = truth.committed.get(told.revision)
    parts = committed.parts if committed else ()
    return next((one for one in parts if (one.op, one.key) == (told.op, told.key)), None)
