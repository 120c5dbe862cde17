"""Faults of a server to which a client came by its token, or which it asked what the master has."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.validate.history import Assured, Committed, Read, Shown, Write
from tests.validate.planting import Records, found_by, index_of, same_stream, versions_of


def _last_arrival(records: Records, chance: random.Random) -> int:
    """An arrival behind some changes, so that there is a past to fall back into."""
    newest = max(one.revision for one in records if isinstance(one, Committed))

    def fits(at: int) -> bool:
        one = records[at]
        return isinstance(one, Assured) and one.revision > newest // 2

    return index_of(records, chance, fits)


def _past_of(records: Records, revision: int, chance: random.Random) -> Shown:
    """An object as it was before its last change at or before that revision."""
    values = {one.revision: one.value for one in records if isinstance(one, Committed)}
    found = [
        (key, [at for at in versions if at <= revision])
        for key, versions in sorted(versions_of(records).items())
    ]
    key, versions = chance.choice([(key, at) for key, at in found if len(at) > 1])
    return Shown(key, versions[-2], values[versions[-2]])


@found_by("assured")
def a_token_leads_into_the_past(records: Records, chance: random.Random) -> Records:
    at = _last_arrival(records, chance)
    came = replace(records[at], by="token")
    stale = (_past_of(records, came.revision, chance),)
    read = Read(came.who, came.server, came.connection, came.time, came.time, stale)
    return [*records[:at], came, read, *records[at + 1 :]]


@found_by("assured")
def a_read_behind_a_sync_is_old(records: Records, chance: random.Random) -> Records:
    """Not the first one: the server falls back later."""
    at = _last_arrival(records, chance)
    came = records[at]
    stale = (_past_of(records, came.revision, chance),)
    own = [n for n, one in enumerate(records) if isinstance(one, Read) and same_stream(one, came)]
    read = replace(records[own[-1]], shown=stale)
    return [*records[: own[-1] + 1], read, *records[own[-1] + 1 :]]


@found_by("level")
def a_sync_misses_an_answered_write(records: Records, chance: random.Random) -> Records:
    """As by a proxy whose master was replaced and does not know it."""

    def fits(at: int) -> bool:
        one = records[at]
        return (
            isinstance(one, Assured) and one.by == "sync"
            and any(
                isinstance(write, Write) and write.state == "committed"
                and write.ended < one.began and write.revision == one.revision
                for write in records
            )
        )  # fmt: skip

    at = index_of(records, chance, fits)
    old = replace(records[at], revision=records[at].revision - 1)
    return [*records[:at], old, *records[at + 1 :]]
