"""Masters at one head row, with pauses, jumps of clocks and a database that goes away, by a seed.

Each is a real `Chair` with the real table; what a database does is played: every statement is
atomic, may fail before or after it was done, and names fence and counter as csp/master/lease.py
does.  A pause may come between any two statements.

1. A fence commits for one master alone, and never again after a later fence has committed.
2. What was acknowledged is there, at the revision that was told.
3. Nobody takes it from another while the counter moves.
4. When all are awake and reach the database, one of them is primary before long.

`LeaseWorld(seed).run(steps)` is one run; it raises AssertionError with what did not hold.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from csp.master.lease_table import Action, Finding, State
from csp.master.seat import ANYBODY, LEASE_MS, RENEW_MS, Chair, Holder, Seat

TURN_MS = 100
QUIET_MS = 4 * LEASE_MS  # after which, with all well, somebody is primary
STOOD_MS = LEASE_MS // 3  # by the world's clock, where a reader's runs too fast


class Away(Exception):
    """The database does not answer."""


@dataclass
class Row:
    """The head row, and the changes that were committed."""

    fence: int = 0
    beat: int = 0
    heir: str = ANYBODY
    holder: Holder | None = None
    is_there: bool = True
    is_calm: bool = False  # nothing fails by chance any more
    now_ms: int = 0  # by the world's clock
    moved_ms: int = 0  # when the counter did
    commits: list[tuple[int, str]] = field(default_factory=list)  # fence, by whom

    @property
    def seat(self) -> Seat:
        """As somebody reads it."""
        return Seat(self.fence, self.beat, self.heir, self.holder)

    def move(self) -> None:
        """Raises the counter."""
        self.beat += 1
        self.moved_ms = self.now_ms


class Member:
    """One master: it turns, or is paused; its clock is its own."""

    def __init__(self, name: str, row: Row, rng: random.Random) -> None:
        self.name, self.row, self.rng = name, row, rng
        self.runs = 0
        self.fence_noted = 0  # as the control segment keeps it over a writer's restart
        self.clock_ms = rng.randrange(1 << 40)
        self.paused_ms = 0
        self.acknowledged: list[tuple[int, str]] = []  # place in the log, and what stands there
        self.start()

    def start(self, *, is_writer: bool = False) -> None:
        """A new process: of the whole server, or of its writer alone."""
        self.runs += 1
        self.chair = Chair(Holder(self.name, self.name, self.name, "boot"))
        self.fence_noted = self.fence_noted if is_writer else 0
        self.chair.fence = self.fence_noted
        self.renewed_ms = 0
        self.revision = 0
        self.seen: Seat | None = None  # what it read last, and may act on after a pause
        self.wanted: Action | None = None

    # -- one turn --------------------------------------------------------------------------------

    def turn(self, elapsed_ms: int) -> None:
        """What it does in one turn of its loop: a statement at most, so a pause fits anywhere."""
        self.clock_ms += elapsed_ms
        if self.paused_ms > 0:
            self.paused_ms -= elapsed_ms
            return
        try:
            self._turn()
        except Away:
            self.wanted = self.chair.find(Finding.GONE)

    def _turn(self) -> None:
        if self.wanted is Action.TAKE:
            self._take()
        elif self.wanted in (Action.RELEASE, Action.GIVE_UP):
            self._release()
        elif self.chair.may_write and self.rng.random() < 0.5:
            self._commit()
        elif not self.chair.may_write or self.clock_ms - self.renewed_ms >= RENEW_MS:
            self._read()

    def _read(self) -> None:
        self._reach()
        self.seen = self.row.seat
        self.wanted = self.chair.read(self.seen, self.clock_ms)
        if self.wanted is Action.RENEW:
            self._renew()
        elif self.wanted is Action.SERVE:
            self.revision = len(self.row.commits)

    def _renew(self) -> None:
        self._reach()
        self.renewed_ms = self.clock_ms
        if self.row.fence == self.chair.fence:
            self.row.move()
        else:
            self.wanted = self.chair.find(Finding.BEATEN)

    def _take(self) -> None:
        seen, self.wanted = self.seen, None
        assert seen is not None
        self._reach()
        fence = self.chair.next_fence(seen)
        if (self.row.fence, self.row.beat) != (seen.fence, seen.beat):
            self.chair.find(Finding.BEATEN)
            return
        self.chair.fence = self.fence_noted = fence
        self._fail(0.03)  # it was noted, and never committed
        is_another = seen.heir == "" and seen.holder is not None and seen.holder.host != self.name
        if is_another:
            assert self.row.now_ms - self.row.moved_ms >= STOOD_MS, "taken while its counter moved"
        self.row.fence = fence
        self.row.move()
        self.row.holder, self.row.heir = self.chair.me, ""
        self._fail(0.03)  # committed, and nobody was told
        self.revision = len(self.row.commits)
        self.wanted = self.chair.find(Finding.TAKEN)
        self.renewed_ms = self.clock_ms

    def _release(self) -> None:
        heir = ANYBODY if self.wanted is Action.GIVE_UP else self.heir
        self.wanted = None
        self._reach()
        if self.row.fence == self.chair.fence:
            self.row.heir, self.row.holder = heir, None
            self.row.move()

    def _commit(self) -> None:
        assert self.chair.may_write
        self._reach()
        row = self.row
        if row.fence != self.chair.fence or len(row.commits) != self.revision:
            self.wanted = self.chair.find(Finding.BEATEN)
            return
        row.move()
        row.commits.append((row.fence, self.name))
        self._fail(0.03)  # unknown to its author: nothing was acknowledged
        self.revision += 1
        self.renewed_ms = self.clock_ms
        self.acknowledged.append((self.revision, self.name))

    def _reach(self) -> None:
        if not self.row.is_there:
            raise Away
        self._fail(0.002)

    def _fail(self, chance: float) -> None:
        if not self.row.is_calm and self.rng.random() < chance:
            raise Away

    # -- what it is asked --------------------------------------------------------------------------

    def hand_over(self, heir: Member) -> None:
        """Somebody asks for a switchover."""
        self.heir = heir.chair.me.name
        action = self.chair.find(Finding.SWITCH)
        if action is Action.RELEASE:
            self.wanted = action

    def stop(self) -> None:
        """A clean stop; it is started again at once."""
        action = self.chair.find(Finding.STOP)
        if action is Action.GIVE_UP and self.row.is_there:
            self.wanted = action
            self._try_release()
        self.start()

    def _try_release(self) -> None:
        try:
            self._release()
        except Away:
            return


class LeaseWorld:
    """Two or three of them, and what happens to them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.row = Row()
        count = self.rng.choice((2, 2, 3))
        self.members = [Member(f"m{number}", self.row, self.rng) for number in range(count)]
        self._away_ms = 0

    def run(self, steps: int) -> None:
        """So many turns, with something that happens now and then; then peace, and a primary."""
        for _ in range(steps):
            if self.rng.random() < 0.02:
                self._happen()
            self._turn()
        self._away_ms = 0
        self.row.is_there = self.row.is_calm = True
        for member in self.members:
            member.paused_ms = 0
        for _ in range(QUIET_MS // TURN_MS):
            self._turn()
        self.check()
        primaries = [one for one in self.members if one.chair.may_write]
        assert len(primaries) == 1, [one.chair.state for one in self.members]
        assert primaries[0].chair.fence == self.row.fence

    def _turn(self) -> None:
        self.row.now_ms += TURN_MS
        if self._away_ms > 0:
            self._away_ms -= TURN_MS
            self.row.is_there = self._away_ms <= 0
        for member in self.rng.sample(self.members, len(self.members)):
            # Clocks run on at their own pace: a busy machine, a virtual one.
            member.turn(int(TURN_MS * self.rng.choice((1, 1, 1, 0.5, 2))))
        self.check()

    def _happen(self) -> None:
        member = self.rng.choice(self.members)
        others = [one for one in self.members if one is not member]
        what = self.rng.randrange(7)
        if what == 0:
            member.paused_ms = self.rng.choice((500, 2000, 4000, 10_000))
        elif what == 1:
            self._away_ms = self.rng.choice((300, 3000, 8000))
        elif what == 2:
            member.start(is_writer=True)
        elif what == 3:
            member.start()
        elif what == 4 and member.paused_ms <= 0:
            member.hand_over(self.rng.choice(others))
        elif what == 5 and member.paused_ms <= 0:
            member.stop()
        elif what == 6:
            member.clock_ms += self.rng.choice((-3_600_000, 50, 5000, 3_600_000))

    def check(self) -> None:
        """What holds at any time."""
        commits = self.row.commits
        by_fence: dict[int, str] = {}
        for fence, name in commits[-200:]:
            assert by_fence.setdefault(fence, name) == name, f"two wrote under fence {fence}"
        fences = [fence for fence, _ in commits[-200:]]
        assert fences == sorted(fences), "a replaced master has committed"
        for member in self.members:
            for place, name in member.acknowledged[-3:]:
                assert len(commits) >= place, "an acknowledged write is lost"
                assert commits[place - 1][1] == name, "an acknowledged write is lost"
        writing = [one for one in self.members if one.chair.state is State.PRIMARY]
        current = [one for one in writing if one.chair.fence == self.row.fence]
        assert len(current) <= 1, "two masters may write"
