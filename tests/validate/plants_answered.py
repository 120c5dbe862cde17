"""Faults of what readers and writers are answered: torn, stale, lost, done twice, out of time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from tests.validate.history import Committed, Read, Shown, Told, Write
from tests.validate.planting import (
    Records,
    found_by,
    index_of,
    same_stream,
    versions_of,
)


@found_by("atomic")
def a_read_mixes_two_revisions(records: Records, chance: random.Random) -> Records:
    """Two objects of one transaction: one as it left it, the other as it was before."""
    by_revision = {one.revision: one for one in records if isinstance(one, Committed)}
    versions = versions_of(records)
    for revision in sorted(by_revision, key=lambda _: chance.random()):
        keys = [part.key for part in by_revision[revision].parts if part.op == "update"]
        if len(keys) < 2:
            continue
        value = by_revision[revision].value
        before = max(one for one in versions[keys[1]] if one < revision)
        torn = (
            Shown(keys[0], revision, value),
            Shown(keys[1], before, by_revision[before].value),
        )
        return [*records, Read("a reader", "first", 0, 0.0, 0.1, torn)]
    raise AssertionError("the history has no place for this fault")


@found_by("atomic")
def a_read_shows_what_never_was(records: Records, chance: random.Random) -> Records:
    at, number = _shown_place(records, chance)
    return _shows(records, at, number, revision=7_777)


@found_by("atomic")
def a_read_shows_another_value(records: Records, chance: random.Random) -> Records:
    at, number = _shown_place(records, chance)
    return _shows(records, at, number, value=8_888)


@found_by("monotonic_reads")
def a_read_goes_back(records: Records, chance: random.Random) -> Records:
    """The reader sees again, elsewhere, what it had seen replaced."""
    versions = versions_of(records)
    at, number = _shown_place(
        records, chance, lambda s: len(versions[s.key]) > 1 and s.revision > versions[s.key][0]
    )
    read = records[at]
    assert isinstance(read, Read)
    shown = read.shown[number]
    before = max(one for one in versions[shown.key] if one < shown.revision)
    value = next(
        one.value for one in records if isinstance(one, Committed) and one.revision == before
    )
    stale = replace(
        read, server="second", shown=(Shown(shown.key, before, value),), revision=0,
        began=read.ended, connection=0,
    )  # fmt: skip
    return [*records[: at + 1], stale, *records[at + 1 :]]


@found_by("read_your_writes")
def a_write_is_not_read_by_its_author(records: Records, chance: random.Random) -> Records:
    committed = {one.revision: one for one in records if isinstance(one, Committed)}
    versions = versions_of(records)

    def key_of(write: Write) -> str | None:
        keys = [part.key for part in committed[write.revision].parts if part.op == "update"]
        return keys[0] if keys else None

    def fits(at: int) -> bool:
        one = records[at]
        return isinstance(one, Write) and one.state == "committed" and key_of(one) is not None

    at = index_of(records, chance, fits)
    write = records[at]
    assert isinstance(write, Write)
    key = key_of(write)
    assert key is not None
    before = max(one for one in versions[key] if one < write.revision)
    shown = (Shown(key, before, committed[before].value),)
    stale = Read(write.who, "second", 0, write.ended, write.ended, shown)
    return [*records[: at + 1], stale, *records[at + 1 :]]


@found_by("event_before_data")
def a_change_comes_behind_the_read_that_shows_it(
    records: Records, chance: random.Random
) -> Records:
    def read_behind(at: int) -> int | None:
        told = records[at]
        assert isinstance(told, Told)
        for number in range(at + 1, len(records)):
            one = records[number]
            if isinstance(one, Told) and same_stream(one, told) and one.revision > told.revision:
                return None
            if isinstance(one, Read) and same_stream(one, told):
                is_shown = any(shown.revision >= told.revision for shown in one.shown)
                return number if is_shown else None
        return None

    at = index_of(
        records, chance, lambda at: isinstance(records[at], Told) and read_behind(at) is not None
    )
    behind = read_behind(at)
    assert behind is not None
    return [*records[:at], *records[at + 1 : behind + 1], records[at], *records[behind + 1 :]]


@found_by("event_before_data")
def a_read_behind_a_change_shows_the_older_state(
    records: Records, chance: random.Random
) -> Records:
    versions = versions_of(records)
    values = {one.revision: one.value for one in records if isinstance(one, Committed)}
    at = index_of(
        records,
        chance,
        lambda at: isinstance(records[at], Told) and records[at].op == "update",
    )
    told = records[at]
    assert isinstance(told, Told)
    before = max(one for one in versions[told.key] if one < told.revision)
    shown = (Shown(told.key, before, values[before]),)
    stale = Read(told.who, told.server, told.connection, told.time, told.time, shown)
    return [*records[: at + 1], stale, *records[at + 1 :]]


def _shown_place(
    records: Records, chance: random.Random, fits: Callable[[Shown], bool] = lambda _: True
) -> tuple[int, int]:
    """A read, and which of its objects."""

    def fitting(at: int) -> list[int]:
        one = records[at]
        if not isinstance(one, Read):
            return []
        return [n for n, shown in enumerate(one.shown) if shown.revision and fits(shown)]

    at = index_of(records, chance, lambda at: bool(fitting(at)))
    return at, chance.choice(fitting(at))


def _shows(records: Records, at: int, number: int, **other: int) -> Records:
    read = records[at]
    assert isinstance(read, Read)
    shown = list(read.shown)
    shown[number] = replace(shown[number], **other)
    records[at] = replace(read, shown=tuple(shown))
    return records


# ---------------------------------------------------------------------- writes


def _write_place(records: Records, chance: random.Random, state: str) -> int:
    return index_of(
        records,
        chance,
        lambda at: isinstance(records[at], Write) and records[at].state == state,
    )


@found_by("linearizable_writes")
def an_answered_write_is_lost(records: Records, chance: random.Random) -> Records:
    write = records[_write_place(records, chance, "committed")]
    return [
        one for one in records
        if not (isinstance(one, Committed) and one.value == write.value)
    ]  # fmt: skip


@found_by("linearizable_writes")
def a_rejected_write_is_done(records: Records, chance: random.Random) -> Records:
    at = _write_place(records, chance, "committed")
    records[at] = replace(records[at], state="rejected")
    return records


@found_by("linearizable_writes")
def a_write_is_done_twice(records: Records, chance: random.Random) -> Records:
    write = records[_write_place(records, chance, "committed")]
    once = next(
        one for one in records
        if isinstance(one, Committed) and one.value == write.value
    )  # fmt: skip
    newest = max(one.revision for one in records if isinstance(one, Committed))
    return [*records, replace(once, revision=newest + 1)]


@found_by("linearizable_writes")
def a_write_is_answered_with_another_revision(records: Records, chance: random.Random) -> Records:
    at = _write_place(records, chance, "committed")
    write = records[at]
    assert isinstance(write, Write)
    records[at] = replace(write, revision=write.revision + 1)
    return records


@found_by("linearizable_writes")
def a_later_write_has_an_earlier_revision(records: Records, chance: random.Random) -> Records:
    """It was begun when the one before it had been answered."""
    places = [
        at for at, one in enumerate(records) if isinstance(one, Write) and one.state == "committed"
    ]
    number = chance.randrange(len(places) - 1)
    first, second = records[places[number]], records[places[number + 1]]
    assert isinstance(first, Write)
    assert isinstance(second, Write)
    records[places[number]] = replace(first, began=second.began, ended=second.ended)
    records[places[number + 1]] = replace(second, began=first.began, ended=first.ended)
    return records


@found_by("linearizable_writes")
def a_write_goes_over_what_its_author_had_not_read(
    records: Records, chance: random.Random
) -> Records:
    versions = versions_of(records)

    def fits(at: int) -> bool:
        one = records[at]
        return isinstance(one, Write) and any(read > versions[key][0] for key, read in one.guards)

    at = index_of(records, chance, fits)
    write = records[at]
    key, read = next(one for one in write.guards if one[1] > versions[one[0]][0])
    older = max(one for one in versions[key] if one < read)
    records[at] = replace(write, guards=((key, older),))
    return records


@found_by("linearizable_writes")
def what_was_answered_is_not_read_there(records: Records, chance: random.Random) -> Records:
    """By another client, at the server that answered."""
    at = _write_place(records, chance, "committed")
    write = records[at]
    assert isinstance(write, Write)
    versions = versions_of(records)
    values = {one.revision: one.value for one in records if isinstance(one, Committed)}
    key, before = next(
        (key, max(one for one in found if one < write.revision))
        for key, found in sorted(versions.items())
        if write.revision in found and found[0] < write.revision
    )
    shown = (Shown(key, before, values[before]),)
    return [
        *records,
        Read("a stranger", write.server, 0, write.ended + 0.1, write.ended + 0.2, shown),
    ]
