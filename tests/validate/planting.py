"""What faults are put into a valid history, and how a place for one is found."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.validate.history import Committed, Record, Told

Records = list[Any]  # of Record: what a fault fits says what kind a record is


@dataclass(frozen=True)
class Plant:
    """A fault, who is to find it, and how it is put into a history."""

    finder: str
    put: Callable[[Records, random.Random], Records]

    @property
    def name(self) -> str:
        return self.put.__name__


PLANTS: list[Plant] = []


def found_by(finder: str) -> Callable[[Callable[[Records, random.Random], Records]], None]:
    """Marks a fault with the validator's name."""
    return lambda put: PLANTS.append(Plant(finder, put))


def index_of(records: Records, chance: random.Random, fits: Callable[[int], bool]) -> int:
    """Some place of the history that the fault can be put at."""
    places = [at for at in range(len(records)) if fits(at)]
    assert places, "the history has no place for this fault"
    return chance.choice(places)


def without(records: Records, at: int) -> Records:
    return records[:at] + records[at + 1 :]


def same_stream(one: Record, other: Record) -> bool:
    return (one.who, one.connection) == (other.who, other.connection)


def is_told_again(records: Records, at: int) -> bool:
    """Whether the same is told on another connection too: what was cut off comes again."""
    told = records[at]
    return any(
        isinstance(one, Told) and number != at and one.who == told.who
        and (one.channel, one.revision, one.op, one.key)
        == (told.channel, told.revision, told.op, told.key)
        for number, one in enumerate(records)
    )  # fmt: skip


def next_told(records: Records, at: int) -> int | None:
    for number in range(at + 1, len(records)):
        one = records[number]
        if isinstance(one, Told) and same_stream(one, records[at]):
            return number
    return None


def versions_of(records: Records) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for one in records:
        if isinstance(one, Committed):
            for part in one.parts:
                found.setdefault(part.key, []).append(one.revision)
    return found
