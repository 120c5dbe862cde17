"""Judges what a server promises to who comes from another one: by its token, or by CFG.SYNC."""

from __future__ import annotations

from collections.abc import Sequence

from tests.validate.history import Assured, Gap, Read, Record, Write
from tests.validate.truth import Truth

Connection = tuple[str, int]


def assured(records: Sequence[Record]) -> list[str]:
    """No read goes back behind the token presented, or what CFG.SYNC said, unless a gap is told."""
    truth, found = Truth(records), []
    least: dict[Connection, Assured] = {}
    for one in records:
        if isinstance(one, Assured):
            before = least.get((one.who, one.connection))
            if before is None or one.revision > before.revision:
                least[one.who, one.connection] = one
        elif isinstance(one, Gap):
            least.pop((one.who, one.connection), None)
        elif isinstance(one, Read):
            promised = least.get((one.who, one.connection))
            spans = truth.spans_of_all(one.shown)
            if promised is not None and spans and spans[-1][1] < promised.revision:
                found.append(
                    f"{one.who} came to {one.server} with {promised.revision} by "
                    f"{promised.by}, and read what was at {spans[-1][1]} or before"
                )
    return found


def level(records: Sequence[Record]) -> list[str]:
    """CFG.SYNC without a revision names one that has all that had been answered before it."""
    found = []
    writes = sorted(
        (one.ended, one.revision)
        for one in records
        if isinstance(one, Write) and one.state == "committed"
    )
    asked = [one for one in records if isinstance(one, Assured) and one.by == "sync"]
    at = newest = 0
    for one in sorted(asked, key=lambda one: one.began):
        while at < len(writes) and writes[at][0] < one.began:
            newest = max(newest, writes[at][1])
            at += 1
        if one.revision < newest:
            found.append(
                f"{one.server} said that all is there by {one.revision}, and {newest} had been "
                f"answered before {one.who} asked"
            )
    return found
