"""Faults of caches that are told by CLIENT TRACKING: invalidations lost, late, or not heeded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.validate.history import Committed, Dropped, Finished, Hit, Read, Settled, Shown, Tracked
from tests.validate.planting import Records, found_by, same_stream, versions_of


@dataclass(frozen=True)
class Place:
    """A key that a cache held, the invalidation that took it back, and what it held."""

    at: int  # of the invalidation in the history
    key: str
    revision: int
    value: int


def places(records: Records, *, in_step: bool) -> list[Place]:
    """All of them in caches of one kind."""
    kinds = {
        (one.who, one.connection): one.mode != "redirect"
        for one in records
        if isinstance(one, Tracked)
    }
    held: dict[tuple[str, int], dict[str, tuple[int, int]]] = {}
    found = []
    for at, one in enumerate(records):
        if not isinstance(one, Read | Dropped):
            continue
        where = (one.who, one.connection)
        if kinds.get(where) is not in_step:
            continue
        mine = held.setdefault(where, {})
        if isinstance(one, Read):
            mine |= {shown.key: (shown.revision, shown.value) for shown in one.shown}
        else:
            known = [key for key in one.keys if mine.get(key, (0, 0))[0]]
            found += [Place(at, key, *mine.pop(key)) for key in known]
    return found


def hit_at(records: Records, at: int, place: Place) -> Hit:
    one = records[at]
    where = (one.who, one.server, one.connection)
    time = one.ended if isinstance(one, Read) else one.time
    return Hit(*where, time, place.key, place.revision, place.value)


def behind(records: Records, at: int) -> Iterator[int]:
    """The places behind one, on the same connection."""
    for number in range(at + 1, len(records)):
        one = records[number]
        if isinstance(one, Read | Dropped | Hit | Settled) and same_stream(one, records[at]):
            yield number


def unsaid(records: Records, place: Place) -> Records:
    """Without the key in that invalidation."""
    told = records[place.at]
    left = tuple(key for key in told.keys if key != place.key)
    return [
        replace(told, keys=left) if at == place.at else one
        for at, one in enumerate(records)
        if at != place.at or left
    ]


@found_by("tracked")
def what_was_taken_back_is_served(records: Records, chance: random.Random) -> Records:
    return served_again(records, chance.choice(places(records, in_step=True)))


@found_by("tracked")
def what_was_taken_back_elsewhere_is_served(records: Records, chance: random.Random) -> Records:
    """By REDIRECT."""
    return served_again(records, chance.choice(places(records, in_step=False)))


def served_again(records: Records, place: Place) -> Records:
    """With a hit right behind the invalidation."""
    return [
        *records[: place.at + 1],
        hit_at(records, place.at, place),
        *records[place.at + 1 :],
    ]


@found_by("tracked")
def an_invalidation_is_lost(records: Records, chance: random.Random) -> Records:
    """What it named is served behind a read that shows a later state."""
    versions = versions_of(records)
    found = places(records, in_step=True)
    chance.shuffle(found)
    for place in found:
        replaced = min(one for one in versions[place.key] if one > place.revision)
        for at in behind(records, place.at):
            one = records[at]
            if isinstance(one, Read) and place.key in [shown.key for shown in one.shown]:
                break
            if isinstance(one, Dropped) and (not one.keys or place.key in one.keys):
                break
            if isinstance(one, Read) and max(s.revision for s in one.shown) >= replaced:
                late = hit_at(records, at, place)
                return unsaid([*records[: at + 1], late, *records[at + 1 :]], place)
    raise AssertionError("the history has no place for this fault")


@found_by("tracked")
def an_invalidation_is_lost_on_its_way(records: Records, chance: random.Random) -> Records:
    """By REDIRECT: it has not come when it had to be there."""
    versions = versions_of(records)
    found = places(records, in_step=False)
    chance.shuffle(found)
    for place in found:
        replaced = min(one for one in versions[place.key] if one > place.revision)
        for at in behind(records, place.at):
            one = records[at]
            if isinstance(one, Read) and place.key in [shown.key for shown in one.shown]:
                break
            if isinstance(one, Settled) and one.revision >= replaced:
                late = hit_at(records, at, place)
                return unsaid([*records[: at + 1], late, *records[at + 1 :]], place)
    raise AssertionError("the history has no place for this fault")


@found_by("tracked")
def a_read_behind_an_invalidation_shows_the_past(
    records: Records, chance: random.Random
) -> Records:
    """It is answered as if the change were still to come, and kept for good."""
    found = places(records, in_step=True)
    chance.shuffle(found)
    for place in found:
        for at in behind(records, place.at):
            one = records[at]
            if isinstance(one, Read) and place.key in [shown.key for shown in one.shown]:
                old = tuple(
                    replace(s, revision=place.revision, value=place.value)
                    if s.key == place.key else s
                    for s in one.shown
                )  # fmt: skip
                return [*records[:at], replace(one, shown=old), *records[at + 1 :]]
    raise AssertionError("the history has no place for this fault")


@found_by("tracked")
def a_cache_is_stale_when_all_was_told(records: Records, chance: random.Random) -> Records:
    """It never hears of the last change of an object, and nothing else tells on it."""
    values = {one.revision: one.value for one in records if isinstance(one, Committed)}
    versions = versions_of(records)
    caches = {one.who: one for one in records if isinstance(one, Tracked)}
    who = chance.choice(sorted(caches))
    last = caches[who]
    end = max(at for at, one in enumerate(records) if isinstance(one, Finished) and one.who == who)
    key = next(key for key, found in sorted(versions.items()) if len(found) > 1)
    before = versions[key][-2]
    where = (who, last.server, last.connection)
    told = records[end]
    shown = (Shown(key, before, values[before]),)
    held = Read(*where, told.time - 0.2, told.time - 0.1, shown)
    hit = Hit(*where, told.time + 0.1, key, before, values[before])
    return [*records[:end], held, told, hit, *records[end + 1 :]]


@found_by("tracked")
def a_cache_answers_what_never_was(records: Records, chance: random.Random) -> Records:
    at = chance.choice([at for at, one in enumerate(records) if isinstance(one, Hit) and one.value])
    records[at] = replace(records[at], value=9_999)
    return records
