"""Judges whether a client sees the past again, or misses its own writes, wherever it goes."""

from __future__ import annotations

from collections.abc import Sequence

from tests.validate.history import Read, Record, Write
from tests.validate.truth import Truth


def monotonic_reads(records: Sequence[Record]) -> list[str]:
    """What a client reads is never older than what it has read."""
    truth, found = Truth(records), []
    newest: dict[str, tuple[int, str]] = {}  # who -> revision that it has seen, where
    for read in records:
        if not isinstance(read, Read):
            continue
        spans = truth.spans_of_all(read.shown)
        seen, where = newest.get(read.who, (0, ""))
        if spans and spans[-1][1] < seen:
            found.append(
                f"{read.who} was at {seen} at {where}, and at {spans[-1][1]} or before at "
                f"{read.server}"
            )
        shown = max((one.revision for one in read.shown), default=0)
        if max(shown, read.revision) > seen:
            newest[read.who] = (max(shown, read.revision), read.server)
    return found


def read_your_writes(records: Sequence[Record]) -> list[str]:
    """Who was told that a write is done reads it."""
    truth, found = Truth(records), []
    written: dict[str, int] = {}
    for one in records:
        if isinstance(one, Write) and one.state == "committed":
            written[one.who] = max(written.get(one.who, 0), one.revision)
        elif isinstance(one, Read):
            own = written.get(one.who, 0)
            spans = truth.spans_of_all(one.shown)
            if spans and spans[-1][1] < own:
                found.append(
                    f"{one.who} wrote {own} and read at {one.server} what was at "
                    f"{spans[-1][1]} or before"
                )
    return found
