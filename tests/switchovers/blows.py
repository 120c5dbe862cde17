"""Chooses what befalls a pair, by seed, so that a run can be repeated.

1. Each kind that the scene knows comes once before they come at random.
2. `struck` says after which the other half is to serve; the rest must leave things as they are, or
   change nothing that clients may rely on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# By weight.
OF_PAIRS = {
    "kill": 4,  # all processes of the half that serves, at once
    "freeze": 3,  # all of them are stopped, and go on when the other half has taken over
    "cut pair": 2,  # what the two say to each other; then the one that serves is killed
    "cut master": 2,  # the link to the master of the half that serves
    "cut both": 2,  # both of these
    "stop": 2,  # a clean stop
    "hand over": 2,  # an administrator asks for it
}
OF_SINGLES = {"kill": 3, "freeze": 2, "stop": 1}
OF_MASTERS = {
    "kill master": 3,
    "freeze master": 3,
    "stop master": 1,
    "hand over master": 1,
    "pause database": 1,  # longer than a lease
}
SECONDS = {"freeze": (0.5, 3.0), "freeze master": (3.5, 6.0), "pause database": (3.5, 6.0)}
CUT_SECONDS = (0.2, 1.5)  # what else was cut stays so, once the other half serves


@dataclass(frozen=True)
class Blow:
    """One switchover."""

    what: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.what} ({self.seconds:.1f} s)"


def blows(seed: int, kinds: Mapping[str, int]) -> Iterator[Blow]:
    """Without end."""
    chance = random.Random(seed)
    first = [*kinds]
    chance.shuffle(first)
    while True:
        what = first.pop() if first else chance.choices([*kinds], [*kinds.values()])[0]
        yield Blow(what, chance.uniform(*SECONDS.get(what, CUT_SECONDS)))
