"""Judges whether a transaction is seen whole or not at all, by subscribers and by readers."""

from __future__ import annotations

from collections.abc import Sequence

from tests.validate.history import Read, Record, Told
from tests.validate.streams import Stream, streams_of
from tests.validate.truth import Truth, matches


def atomic(records: Sequence[Record]) -> list[str]:
    """Parts of a transaction come together, `more` tells the last; a read is of one revision."""
    truth = Truth(records)
    found = []
    for stream in streams_of(records):
        for channel in stream.channels:
            found += _whole(stream, channel, truth)
    for read in records:
        if isinstance(read, Read):
            found += _one_revision(read, truth)
    return found


def _whole(stream: Stream, channel: str, truth: Truth) -> list[str]:
    found = []
    for _, piece, _ in stream.stretches():
        told = [one for one in piece if isinstance(one, Told)]
        groups = _groups([one for one in told if one.channel == channel])
        for number, group in enumerate(groups):
            revision = group[0].revision
            # What came last may have been cut off; it comes again on the next connection.
            is_last = number == len(groups) - 1 and revision == told[-1].revision
            committed = truth.committed.get(revision)
            parts = [p for p in committed.parts if matches(channel, p)] if committed else []
            if len({(one.op, one.key) for one in group}) < len(parts) and not is_last:
                found.append(
                    f"{stream}: of the {len(parts)} parts of {revision} only {len(group)} were "
                    f"told together on {channel}"
                )
            elif len(group) == len(parts):
                flags = [one.more for one in group]
                if flags != [True] * (len(parts) - 1) + [False]:
                    found.append(
                        f"{stream}: `more` of the parts of {revision} on {channel} is {flags}"
                    )
    return found


def _groups(told: list[Told]) -> list[list[Told]]:
    """Neighbours of one revision."""
    groups: list[list[Told]] = []
    for one in told:
        if groups and groups[-1][0].revision == one.revision:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _one_revision(read: Read, truth: Truth) -> list[str]:
    for shown in read.shown:
        if not truth.spans(shown):
            return [f"{read.who} at {read.server} was shown {_said(shown)}, which never was"]
        committed = truth.committed.get(shown.revision)
        if committed is not None and committed.value != shown.value:
            return [
                f"{read.who} at {read.server} was shown value {shown.value} of {shown.key} at "
                f"{shown.revision}, which wrote {committed.value}"
            ]
    spans = truth.spans_of_all(read.shown)
    if not spans:
        all_shown = ", ".join(_said(shown) for shown in read.shown)
        return [f"{read.who} at {read.server} was shown at once what never was so: {all_shown}"]
    if read.revision and not any(low <= read.revision <= high for low, high in spans):
        return [f"{read.who} at {read.server}: what is said to be of {read.revision} is not"]
    return []


def _said(shown: object) -> str:
    key, revision = shown.key, shown.revision  # type: ignore[attr-defined]
    return f"{key} at {revision}" if revision else f"no {key}"
