"""Faults of what subscribers are told: swapped, dropped, doubled, torn, shifted, misdirected."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.validate.history import NOW, Bookmark, Committed, Gap, State, Subscribed, Told
from tests.validate.planting import (
    Records,
    found_by,
    index_of,
    is_told_again,
    next_told,
    same_stream,
    without,
)


@found_by("ordered")
def two_changes_are_swapped(records: Records, chance: random.Random) -> Records:
    def fits(at: int) -> bool:
        one = records[at]
        if not isinstance(one, Told):
            return False
        other = next_told(records, at)
        return other is not None and records[other].revision > one.revision

    at = index_of(records, chance, fits)
    other = next_told(records, at)
    assert other is not None
    records[at], records[other] = records[other], records[at]
    return records


@found_by("ordered")
def two_parts_are_swapped(records: Records, chance: random.Random) -> Records:
    def fits(at: int) -> bool:
        one, other = records[at], records[at + 1] if at + 1 < len(records) else None
        return (
            isinstance(one, Told) and isinstance(other, Told) and same_stream(one, other)
            and (one.revision, one.channel) == (other.revision, other.channel)
        )  # fmt: skip

    at = index_of(records, chance, fits)
    records[at], records[at + 1] = records[at + 1], records[at]
    return records


@found_by("unique")
def a_change_is_doubled(records: Records, chance: random.Random) -> Records:
    at = index_of(records, chance, lambda at: isinstance(records[at], Told))
    return records[: at + 1] + records[at:]


@found_by("reliable")
def a_change_is_dropped(records: Records, chance: random.Random) -> Records:
    at = index_of(
        records,
        chance,
        lambda at: isinstance(records[at], Told) and not is_told_again(records, at),
    )
    return without(records, at)


@found_by("reliable")
def the_last_change_never_comes(records: Records, chance: random.Random) -> Records:
    told = [
        at for at, one in enumerate(records) if isinstance(one, Told) and one.who == "listener 0"
    ]
    last = records[told[-1]].revision
    gone = {at for at in told if records[at].revision == last}
    return [one for at, one in enumerate(records) if at not in gone]


@found_by("atomic")
def a_transaction_is_torn(records: Records, chance: random.Random) -> Records:
    """One of its parts comes behind the next transaction."""

    def follower(at: int) -> int | None:
        one = records[at]
        for number in range(at + 1, len(records)):
            other = records[number]
            is_of_it = isinstance(other, Told) and same_stream(one, other)
            if is_of_it and other.revision > one.revision and other.channel == one.channel:
                return number
        return None

    def fits(at: int) -> bool:
        one = records[at]
        return isinstance(one, Told) and one.more and follower(at) is not None

    at = index_of(records, chance, fits)
    behind = follower(at)
    assert behind is not None
    return [*records[:at], *records[at + 1 : behind + 1], records[at], *records[behind + 1 :]]


@found_by("atomic")
def more_is_wrong(records: Records, chance: random.Random) -> Records:
    def fits(at: int) -> bool:
        # Of the last transaction on a connection parts may be missing, and nobody can tell.
        other = next_told(records, at) if isinstance(records[at], Told) else None
        return other is not None and records[other].revision > records[at].revision

    at = index_of(records, chance, fits)
    told = records[at]
    assert isinstance(told, Told)
    records[at] = replace(told, more=not told.more)
    return records


@found_by("resumable")
def a_change_before_the_place_comes_again(records: Records, chance: random.Random) -> Records:
    at = _resumption(records, chance)
    begin = records[at]
    assert isinstance(begin, Subscribed)
    old = next(
        one for one in records[at::-1]
        if isinstance(one, Told) and one.who == begin.who and one.revision <= begin.start
    )  # fmt: skip
    again = replace(old, connection=begin.connection, server=begin.server)
    return [*records[: at + 1], again, *records[at + 1 :]]


@found_by("resumable")
def a_subscription_goes_on_one_too_far(records: Records, chance: random.Random) -> Records:
    at = _resumption(records, chance)
    begin = records[at]
    assert isinstance(begin, Subscribed)
    records[at] = replace(begin, start=begin.start + 1)
    return records


@found_by("resumable")
def the_first_change_after_a_resumption_is_lost(records: Records, chance: random.Random) -> Records:
    at = _resumption(records, chance)
    begin = records[at]
    first = next_told(records, at)
    assert first is not None
    revision = records[first].revision
    return [
        one for one in records
        if not (isinstance(one, Told) and same_stream(one, begin) and one.revision == revision)
    ]  # fmt: skip


@found_by("resumable")
def a_place_is_refused_needlessly(records: Records, chance: random.Random) -> Records:
    at = _resumption(records, chance)
    begin = records[at]
    assert isinstance(begin, Subscribed)
    where = (begin.who, begin.server, begin.connection, begin.time)
    gap = Gap(*where, "resync", begin.start + 1)
    return [*records[: at + 1], gap, *records[at + 1 :]]


def _resumption(records: Records, chance: random.Random) -> int:
    """A connection that goes on where another was, which was told of two transactions at least."""

    def fits(at: int) -> bool:
        one = records[at]
        if not isinstance(one, Subscribed) or one.after == NOW:
            return False
        told = {
            other.revision
            for other in records
            if isinstance(other, Told) and same_stream(other, one)
        }
        before = any(
            isinstance(other, Told) and other.who == one.who and other.revision <= one.start
            for other in records[:at]
        )
        return len(told) > 2 and before

    return index_of(records, chance, fits)


@found_by("bookmarkable")
def a_bookmark_overtakes_its_changes(records: Records, chance: random.Random) -> Records:
    def before(at: int) -> int | None:
        mark = records[at]
        for number in range(at - 1, -1, -1):
            one = records[number]
            if isinstance(one, Bookmark | Subscribed) and same_stream(one, mark):
                return None
            if isinstance(one, Told) and same_stream(one, mark):
                return number
        return None

    at = index_of(
        records, chance, lambda at: isinstance(records[at], Bookmark) and before(at) is not None
    )
    place = before(at)
    assert place is not None
    mark = records[at]
    return [*records[:place], mark, *records[place:at], *records[at + 1 :]]


@found_by("bookmarkable")
def a_bookmark_is_one_too_far(records: Records, chance: random.Random) -> Records:
    """It names the next transaction, which is told behind it."""

    def fits(at: int) -> bool:
        following = next_told(records, at) if isinstance(records[at], Bookmark) else None
        return following is not None

    at = index_of(records, chance, fits)
    mark, following = records[at], next_told(records, at)
    assert isinstance(mark, Bookmark)
    assert following is not None
    records[at] = replace(mark, revision=records[following].revision, mark="")
    return records


@found_by("bookmarkable")
def a_mark_is_another(records: Records, chance: random.Random) -> Records:
    at = index_of(
        records,
        chance,
        lambda at: (
            isinstance(records[at], Bookmark)
            and sum(
                isinstance(one, Bookmark) and one.revision == records[at].revision
                for one in records
            )
            > 1
        ),
    )
    mark = records[at]
    assert isinstance(mark, Bookmark)
    records[at] = replace(mark, mark="f" * 16)
    return records


# ---------------------------------------------------------------------- filters


@found_by("filter_correct")
def a_filter_lets_another_class_through(records: Records, chance: random.Random) -> Records:
    return _told_of_another(records, chance, "listener 1", "cfg:CfgSkill", "CfgPerson:")


@found_by("filter_correct")
def a_filter_lets_another_tenant_through(records: Records, chance: random.Random) -> Records:
    at = index_of(
        records,
        chance,
        lambda at: isinstance(records[at], Told) and records[at].channel == "cfg@101",
    )
    told = records[at]
    assert isinstance(told, Told)
    committed = next(
        one
        for one in records
        if isinstance(one, Committed) and any(p.tenant == 1 for p in one.parts)
    )
    part = next(part for part in committed.parts if part.tenant == 1)
    records[at] = replace(told, key=part.key, op=part.op, revision=committed.revision)
    return records


def _told_of_another(
    records: Records, chance: random.Random, who: str, channel: str, other: str
) -> Records:
    by_revision = {one.revision: one for one in records if isinstance(one, Committed)}

    def fits(at: int) -> bool:
        one = records[at]
        return (
            isinstance(one, Told) and one.who == who
            and any(part.key.startswith(other) for part in by_revision[one.revision].parts)
        )  # fmt: skip

    at = index_of(records, chance, fits)
    told = records[at]
    assert isinstance(told, Told)
    parts = by_revision[told.revision].parts
    part = next(part for part in parts if part.key.startswith(other))
    records[at] = replace(told, key=part.key, op=part.op, channel=channel)
    return records


@found_by("filter_correct")
def a_change_has_the_value_of_another(records: Records, chance: random.Random) -> Records:
    at = index_of(
        records,
        chance,
        lambda at: isinstance(records[at], Told) and records[at].op == "update",
    )
    told = records[at]
    assert isinstance(told, Told)
    records[at] = replace(told, value=told.value + 1)
    return records


# ---------------------------------------------------------------------- what is there


def _state_place(records: Records, chance: random.Random) -> int:
    """An object that was shown, and changed by nobody while all were."""
    begun = {(one.who, one.connection): one.start for one in records if isinstance(one, Subscribed)}

    def fits(at: int) -> bool:
        one = records[at]
        return isinstance(one, State) and one.revision <= begun[one.who, one.connection]

    return index_of(records, chance, fits)


@found_by("complete_state")
def an_object_is_not_shown(records: Records, chance: random.Random) -> Records:
    return without(records, _state_place(records, chance))


@found_by("complete_state")
def an_object_is_shown_twice(records: Records, chance: random.Random) -> Records:
    at = _state_place(records, chance)
    return records[: at + 1] + records[at:]


@found_by("complete_state")
def an_object_is_shown_as_it_never_was(records: Records, chance: random.Random) -> Records:
    at = _state_place(records, chance)
    records[at] = replace(records[at], value=9_999)
    return records
