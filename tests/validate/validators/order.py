"""Judges whether changes are told in the master's order, and each of them once."""

from __future__ import annotations

from collections.abc import Sequence

from tests.validate.history import Record, Told
from tests.validate.streams import streams_of
from tests.validate.truth import Truth


def ordered(records: Sequence[Record]) -> list[str]:
    """No change is told behind a later one, nor a part of a transaction behind a later part."""
    found, truth = [], Truth(records)
    for stream in streams_of(records):
        before: Told | None = None
        at: dict[str, tuple[int, int]] = {}  # channel -> revision, position in the transaction
        for told in stream.told():
            if before is not None and told.revision < before.revision:
                found.append(
                    f"{stream}: revision {told.revision} of {told.key} was told behind "
                    f"{before.revision}"
                )
            before = told
            position = _position(truth, told)
            revision, last = at.get(told.channel, (0, -1))
            if revision == told.revision and position < last:
                found.append(
                    f"{stream}: {told.key} comes too late among the parts of {told.revision} "
                    f"on {told.channel}"
                )
            at[told.channel] = (told.revision, position)
    return found


def unique(records: Sequence[Record]) -> list[str]:
    """No change is told twice on one subscription."""
    found = []
    for stream in streams_of(records):
        seen: set[tuple[str, int, str, str]] = set()
        for told in stream.told():
            name = (told.channel, told.revision, told.op, told.key)
            if name in seen:
                found.append(
                    f"{stream}: {told.op} of {told.key} at {told.revision} was told twice on "
                    f"{told.channel}"
                )
            seen.add(name)
    return found


def _position(truth: Truth, told: Told) -> int:
    committed = truth.committed.get(told.revision)
    parts = committed.parts if committed else ()
    places = [n for n, part in enumerate(parts) if (part.op, part.key) == (told.op, told.key)]
    return places[0] if places else len(parts)
