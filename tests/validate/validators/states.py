"""Judges whether a subscription that asks for the present is shown all of it, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from tests.validate.history import Record, Shown, State, Synced
from tests.validate.streams import Stream, streams_of
from tests.validate.truth import Truth, matches


def complete_state(records: Sequence[Record]) -> list[str]:
    """Each object comes once, as it was, and whatever was there all the while is among them."""
    truth, found = Truth(records), []
    for stream in streams_of(records):
        shown = [one for one in stream.seen if isinstance(one, State)]
        ends = [one for one in stream.seen if isinstance(one, Synced)]
        found += _as_they_were(stream, shown, truth)
        if ends:
            found += _all_of_them(stream, shown, ends[0].revision, truth)
    return found


def _as_they_were(stream: Stream, shown: list[State], truth: Truth) -> list[str]:
    found = []
    seen: set[tuple[str, str]] = set()
    for one in shown:
        if (one.channel, one.key) in seen:
            found.append(f"{stream}: was shown {one.key} twice on {one.channel}")
        seen.add((one.channel, one.key))
        part = truth.parts.get(one.key)
        if part is None:
            continue  # of what the installation brought
        committed = truth.committed.get(one.revision)
        if not truth.spans(Shown(one.key, one.revision, one.value)):
            found.append(f"{stream}: was shown {one.key} at {one.revision}, which never was")
        elif committed is not None and committed.value != one.value:
            found.append(f"{stream}: was shown {one.key} at {one.revision} as {one.value}")
        elif not matches(one.channel, part):
            found.append(f"{stream}: was shown {one.key}, which is not of {one.channel}")
    return found


def _all_of_them(stream: Stream, shown: list[State], synced: int, truth: Truth) -> list[str]:
    found = [
        f"{stream}: was shown {one.key} at {one.revision}, and synced at {synced}"
        for one in shown
        if one.revision > synced
    ]
    seen = {(one.channel, one.key) for one in shown}
    first = min(stream.begin.start, synced)
    for channel in stream.channels:
        missing = [
            key
            for key, part in truth.parts.items()
            if matches(channel, part)
            and truth.is_there(key, first, synced)
            and (channel, key) not in seen
        ]
        if missing:
            found.append(f"{stream}: was not shown {missing[0]} on {channel}")
    return found
