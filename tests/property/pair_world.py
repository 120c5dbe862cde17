"""Two halves of a pair, their master and the links between all: cut, killed, stopped, by a seed.

Each half is the real mind (csp/feed/pair_mind.py) on a clock of its own that only goes on. What is
judged:
1. The row's numbers go on by one, each given once.
2. A half begins to serve by its mind's word alone, and with the root there by the row alone.
3. Where one lives and nothing has happened for long enough, somebody serves; with the root there
   for all who live, exactly one does: the one that the row names, and it is alive.
4. While nothing but the link between the two is cut, nobody changes places.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from csp.feed.pair_mind import Mind, Names
from csp.feed.pair_table import Action, Own
from csp.model.pairs import PairRow, Saying

STEP_MS = 250
KEEPALIVE_MS = 2_000
WAIT_MS = 6_000
SETTLED_MS = 40_000  # longer than all waits together
PAIR = 7
HALVES = (PAIR, 8)


@dataclass
class Master:
    """Who orders writes."""

    is_up: bool = True
    row: PairRow = field(default_factory=lambda: PairRow(PAIR))
    registered: dict[int, int] = field(default_factory=dict)  # by DBID: when it was heard last

    def take(self, wanted: PairRow) -> bool:
        """Compare and set, as csp/master/pairs.py."""
        if wanted.number != self.row.number + 1 or wanted.active not in HALVES:
            return False
        self.row = wanted
        return True


class Half:
    """One half, alive or not."""

    def __init__(self, dbid: int, rng: random.Random) -> None:
        self.dbid = dbid
        self.peer = HALVES[1] if dbid == HALVES[0] else HALVES[0]
        self.clock_ms = rng.randrange(1 << 40)  # of its host
        self.is_alive = True
        self.is_stopped = False
        self.cut_up = False
        self.kept = PairRow(PAIR)  # over its ends
        self.heard: deque[Saying] = deque()
        self.asked: deque[PairRow] = deque()
        self.mind = self.born()

    def born(self) -> Mind:
        """The mind of a new life."""
        mind = Mind(Names(PAIR, self.dbid, self.peer), Own.BACKUP, self.clock_ms)
        mind.keepalive_ms, mind.wait_ms = KEEPALIVE_MS, WAIT_MS
        mind.is_loaded = True
        mind.has_row(self.kept)
        self.heard.clear()
        self.asked.clear()
        self.is_joined = False
        self.up_ms = -1
        return mind

    @property
    def runs(self) -> bool:
        """Whether it does anything."""
        return self.is_alive and not self.is_stopped

    @property
    def serves(self) -> bool:
        """Whether clients find it."""
        return self.runs and self.mind.own is Own.PRIMARY

    def says(self, action: Action) -> Saying:
        """What it tells the peer."""
        there = self.mind.root_is_there
        return Saying(
            serving=self.mind.own is Own.PRIMARY,
            yields=action is Action.YIELD,
            ready=there,
            root=there,
            number=self.mind.row.number,
            active=self.mind.row.active,
        )


class PairWorld:
    """All of it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.now_ms = 0
        self.master = Master()
        self.halves = [Half(dbid, self.rng) for dbid in HALVES]
        self.cut_across = False
        self.said: list[str] = []

    def run(self, deeds: int) -> None:
        """Deeds at random, each with some time, and a judgement after calm."""
        self.settle()
        for _ in range(deeds):
            self.do(self.rng.choice(DEEDS))
            self.live(self.rng.choice((STEP_MS, 1_000, 3_000, 10_000)))
            if self.rng.random() < 0.15:
                self.settle()
        self.do("mend")
        self.settle()

    def do(self, deed: str) -> None:
        """Something happens."""
        half = self.rng.choice(self.halves)
        self.said.append(f"{self.now_ms} {deed} {half.dbid}")
        match deed:
            case "kill":
                half.is_alive = False
                self.master.registered.pop(half.dbid, None)
            case "start" if not half.is_alive:
                half.is_alive, half.is_stopped = True, False
                half.mind = half.born()
            case "stop":
                half.is_stopped = True
            case "go on":
                half.is_stopped = False
            case "cut up" | "join up":
                half.cut_up = deed == "cut up"
            case "cut across" | "join across":
                self.cut_across = deed == "cut across"
            case "master down" | "master up":
                self.master.is_up = deed == "master up"
            case "switch over":
                self.master.take(PairRow(PAIR, self.master.row.number + 1, self.rng.choice(HALVES)))
            case "mend":
                self.mend()

    def mend(self) -> None:
        """All is as it should be."""
        self.cut_across, self.master.is_up = False, True
        for half in self.halves:
            half.cut_up = half.is_stopped = False
            if not half.is_alive:
                half.is_alive = True
                half.mind = half.born()

    def settle(self) -> None:
        """Waits long enough, then judges."""
        self.live(SETTLED_MS)
        living = [half for half in self.halves if half.runs]
        serving = [half for half in living if half.serves]
        if living:
            self.judge(bool(serving), "nobody serves")
        reach = [half for half in living if self.has_root(half)]
        if reach == living and living:
            self.judge(len(serving) == 1, "two serve beside the master")
            self.judge(serving[0].dbid == self.master.row.named, "the row names another one")

    def live(self, ms: int) -> None:
        """Time goes on."""
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms:
            self.now_ms += STEP_MS
            for half in self.rng.sample(self.halves, 2):
                half.clock_ms += STEP_MS
                if half.runs:
                    self.step(half)
            self.forget_silent()

    def has_root(self, half: Half) -> bool:
        """Whether its link to the master is up."""
        return self.master.is_up and not half.cut_up

    def forget_silent(self) -> None:
        """The master's own keepalive."""
        for dbid, heard_ms in list(self.master.registered.items()):
            if self.now_ms - heard_ms > KEEPALIVE_MS or not self.master.is_up:
                del self.master.registered[dbid]

    def step(self, half: Half) -> None:
        """One turn of a half's loop."""
        mind, now_ms = half.mind, half.clock_ms
        other = next(one for one in self.halves if one is not half)
        self.look_up(half)
        if self.cut_across or not other.is_alive:
            mind.left(now_ms, refuses=not other.is_alive and not self.cut_across)
            half.heard.clear()
        elif not other.is_stopped:
            mind.joined(now_ms)
        while half.heard and self.rng.random() < 0.8:
            mind.hear(half.heard.popleft(), now_ms)
        half.kept = mind.row
        self.act(half, other)

    def look_up(self, half: Half) -> None:
        """What comes by the link to the master."""
        mind, now_ms = half.mind, half.clock_ms
        if not self.has_root(half):
            mind.root(is_there=False, now_ms=now_ms)
            self.master.registered.pop(half.dbid, None)
            half.asked.clear()
            return
        self.master.registered[half.dbid] = self.now_ms
        mind.root(is_there=True, now_ms=now_ms)
        while half.asked and self.rng.random() < 0.8:
            self.master.take(half.asked.popleft())
        if self.rng.random() < 0.8:  # else it comes a little later
            mind.present(frozenset(self.master.registered))
            mind.has_row(self.master.row)

    def act(self, half: Half, other: Half) -> None:
        """What the mind says."""
        mind = half.mind
        action = mind.verdict(half.clock_ms).action
        match action:
            case Action.PROMOTE:
                by_row = mind.row.named == half.dbid
                self.judge(by_row or not mind.root_is_there, "it serves without the row")
                mind.did(Own.PRIMARY)
            case Action.DRAIN:
                mind.did(Own.BACKUP)
            case Action.TAKE if not half.asked:
                half.asked.append(PairRow(PAIR, mind.row.number + 1, half.dbid))
        if not self.cut_across and other.is_alive and len(other.heard) < 4:
            other.heard.append(half.says(action))

    def judge(self, is_right: bool, what: str) -> None:
        if not is_right:
            story = "\n".join(self.said[-30:])
            raise AssertionError(f"seed {self.seed} at {self.now_ms} ms: {what}\n{story}")


DEEDS = (
    *("kill", "start", "start", "stop", "go on", "go on", "cut up", "join up", "join up"),
    *("cut across", "join across", "master down", "master up", "master up", "switch over", "mend"),
)
