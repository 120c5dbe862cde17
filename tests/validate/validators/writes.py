"""Judges whether each write was done once or not at all, as was answered, in the order of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tests.validate.history import Read, Record, Write
from tests.validate.truth import Truth


def linearizable_writes(records: Sequence[Record]) -> list[str]:
    """Answers are true, what was answered before another was begun comes before it, and is read."""
    truth = Truth(records)
    writes = [one for one in records if isinstance(one, Write)]
    return [
        *_answers_are_true(writes, truth),
        *_in_time(writes),
        *_nothing_overwritten(writes, truth),
        *_read_where_answered(writes, records, truth),
    ]


def _answers_are_true(writes: list[Write], truth: Truth) -> list[str]:
    done: dict[int, list[int]] = defaultdict(list)
    for revision, committed in truth.committed.items():
        if committed.value:
            done[committed.value].append(revision)
    found = [
        f"value {value} was written at {' and '.join(map(str, at))}"
        for value, at in done.items()
        if len(at) > 1
    ]
    for write in writes:
        at = done.get(write.value, [])
        said = f"{write.who} at {write.server}: value {write.value}"
        if write.state == "committed" and write.revision not in at:
            found.append(f"{said} was answered {write.revision}, and is at {at or 'no revision'}")
        elif write.state == "rejected" and at:
            found.append(f"{said} was rejected, and is at {at[0]}")
    wrote = {write.value for write in writes}
    found += [f"nobody wrote value {value}, at {done[value][0]}" for value in done.keys() - wrote]
    return found


def _in_time(writes: list[Write]) -> list[str]:
    found = []
    committed = [one for one in writes if one.state == "committed"]
    ended = sorted(committed, key=lambda one: one.ended)
    newest: Write | None = None
    at = 0
    for write in sorted(committed, key=lambda one: one.began):
        while at < len(ended) and ended[at].ended < write.began:
            if newest is None or ended[at].revision > newest.revision:
                newest = ended[at]
            at += 1
        if newest is not None and newest.revision > write.revision:
            found.append(
                f"{write.who} wrote {write.revision} after {newest.who} had been answered "
                f"{newest.revision}"
            )
    return found


def _nothing_overwritten(writes: list[Write], truth: Truth) -> list[str]:
    """What was wanted to be as it had been read was so."""
    return [
        f"{write.who} wrote {write.revision} over {key} of {there}, which it had read at {read}"
        for write in writes
        if write.state == "committed"
        for key, read in write.guards
        if (there := truth.version_before(key, write.revision)) != read
    ]


def _read_where_answered(writes: list[Write], records: Sequence[Record], truth: Truth) -> list[str]:
    """What a server has answered as done is read there by everybody."""
    found = []
    for server in {write.server for write in writes}:
        ended = sorted(
            (one.ended, one.revision)
            for one in writes
            if one.server == server and one.state == "committed"
        )
        reads = [one for one in records if isinstance(one, Read) and one.server == server]
        at = newest = 0
        for read in sorted(reads, key=lambda one: one.began):
            while at < len(ended) and ended[at][0] < read.began:
                newest = max(newest, ended[at][1])
                at += 1
            spans = truth.spans_of_all(read.shown)
            if spans and spans[-1][1] < newest:
                found.append(
                    f"{server} had answered {newest}, and showed {read.who} what was at "
                    f"{spans[-1][1]} or before"
                )
    return found
