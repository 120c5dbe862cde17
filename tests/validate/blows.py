"""Chooses what goes wrong, where and for how long: by seed, so that a run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# What befalls a process, by weight; `crash`, `restart` and `forget` are of the supervisor: with
# `forget` a proxy has nothing left of what it had.
OF_PROCESSES = {"kill": 4, "pause": 3, "crash": 1, "restart": 1, "forget": 1}
# What befalls a link; `cut` is over at once.
OF_LINKS = {"cut": 4, "away": 2, "delay": 2, "throttle": 2, "hold": 2, "half-open": 1}
ROLES = {"writer": 3, "worker": 2, "auth": 1, "supervisor": 1, "reading": 1}
SECONDS = {
    "pause": (0.1, 2.5),
    "away": (0.5, 3.0),
    "delay": (1.0, 3.0),
    "throttle": (1.0, 3.0),
    "hold": (0.5, 4.0),
    "half-open": (1.0, 14.0),  # beyond the ten seconds after which a silent link is given up
}
HALF_OPEN_SECONDS_SHORT = 2.0
WAITS_SHARE = 0.6  # of blows behind which all is well again before the next


@dataclass(frozen=True)
class Blow:
    """One thing that goes wrong."""

    what: str
    server: str
    where: str  # a role, or which link: "feed" to the master, "front" to the clients
    seconds: float = 0.0
    waits: bool = True  # all is well again before the next

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.what} {self.server} {self.where}{lasts}"


def blows(
    seed: int,
    servers: Sequence[str],
    leaves: Sequence[str],
    workers: int,
    *,
    short: bool,
    network: frozenset[str],
) -> Iterator[Blow]:
    """Without end; each kind once before they come at random.

    `network`: what it can do to links. `leaves` are servers that nobody follows: whoever follows
    one that has forgotten loads anew as well, and its subscribers are told what differs, not what
    was done.
    """
    chance = random.Random(seed)
    of_links = {what: weight for what, weight in OF_LINKS.items() if what in network}
    weights = OF_PROCESSES | of_links
    kinds = [*weights]
    chance.shuffle(kinds)
    while True:
        what = kinds.pop() if kinds else chance.choices([*weights], [*weights.values()])[0]
        server = chance.choice(leaves if what == "forget" else servers)
        low, high = SECONDS.get(what, (0.0, 0.0))
        if what == "half-open" and short:
            high = HALF_OPEN_SECONDS_SHORT
        seconds = chance.uniform(low, high)
        waits = what == "forget" or chance.random() < WAITS_SHARE
        yield Blow(what, server, _where(what, server, workers, chance), seconds, waits)


def _where(what: str, server: str, workers: int, chance: random.Random) -> str:
    if what in OF_LINKS:
        return "front" if server == "master" or chance.random() < 0.4 else "feed"
    if what in ("crash", "restart", "forget"):
        return "supervisor"
    roles = dict(ROLES)
    if server != "master":
        del roles["reading"]  # proxies have none
    if what == "kill":
        del roles["supervisor"]  # that is a crash
    role = chance.choices([*roles], [*roles.values()])[0]
    return f"worker {chance.randrange(workers)}" if role == "worker" else role
