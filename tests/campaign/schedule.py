"""Chooses who dies, where and how: every failpoint of the writers first, then at random."""

from __future__ import annotations

import random
from dataclasses import dataclass

ACTIONS = ("kill", "stop")
FAILPOINT_HITS_MAX = 5
# Where the first writer dies so that its successor passes a failpoint of the recovery.
BEFORE_RECOVERY = {
    "recover-list": "apply-stage-list",  # a list of a change that never was
    "recover-split": "split-stored",
    "walk-name": "apply-stage-name",  # a name of a change that never was
}
# Elsewhere recovery has most to do after a death between intent and publication.
BEFORE_RECOVERY_ELSE = "apply-before-publish"
ONCE_IN_A_WHILE = ("directory-doubled",)  # a second passing takes twice the names


@dataclass(frozen=True)
class Blow:
    """One death or one stop."""

    server: str  # master or proxy
    role: str  # writer, auth, worker 0, …
    action: str  # kill or stop
    failpoint: str = ""  # where; empty: wherever the process happens to be
    hit: int = 1  # at which passing of the failpoint
    then: str = ""  # the failpoint at which the successor dies or stops in turn

    @property
    def last_point(self) -> str:
        """The failpoint that the blow is about."""
        return self.then or self.failpoint

    def __str__(self) -> str:
        place = f" at {self.failpoint} (hit {self.hit})" if self.failpoint else ""
        then = f", its successor at {self.then}" if self.then else ""
        return f"{self.action} {self.server} {self.role}{place}{then}"


def schedule(
    kills: int, seed: int, points: dict[str, list[str]], roles: dict[str, list[str]]
) -> list[Blow]:
    """`kills` blows: each failpoint with each action, shuffled, then processes at random.

    `points` and `roles` say per server which failpoints and which processes there are.
    """
    chance = random.Random(seed)
    blows = [
        _blow_at(server, action, name, chance)
        for server, names in points.items()
        for name in names
        for action in ACTIONS
    ]
    chance.shuffle(blows)
    del blows[kills:]
    while len(blows) < kills:
        server = chance.choice(sorted(roles))
        # A writer has the most to lose, so it is hit as often as all others together.
        role = "writer" if chance.random() < 0.5 else chance.choice(roles[server])
        blows.append(Blow(server, role, chance.choice(("kill", "kill", "stop"))))
    return blows


def _blow_at(server: str, action: str, name: str, chance: random.Random) -> Blow:
    if name.startswith(("recover-", "walk-")):
        first = BEFORE_RECOVERY.get(name, BEFORE_RECOVERY_ELSE)
        return Blow(server, "writer", action, first, 1, then=name)
    hit = 1 if name in ONCE_IN_A_WHILE else chance.randint(1, FAILPOINT_HITS_MAX)
    return Blow(server, "writer", action, name, hit)
