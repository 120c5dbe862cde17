"""A master and its proxy's feed: it changes, dies, is restored, goes silent, sends what is wrong.

What the proxy's store is told is judged as it happens:
1. Each change comes once, in order, and its mark follows; what is in force is a state that the
   master has had.
2. A load beside a state in force has a reason: another history, one that the master can't continue,
   changes that were withheld, a store that stays full.
3. The time that is shown as the root's was told, grows, and the link is called up while it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from struct import unpack_from

from csp.feed.following import FITTING_RELOAD_MS
from csp.feed.phase import Phase
from csp.store.control import LINK_DOWN, LINK_UP
from tests.unit.feed_stage import FakeHost, Guest, History, Stage

Place = tuple[bytes, int, int]  # stream, revision, mark
TURNS = 6  # after each deed, for bytes to arrive and be answered
SETTLE_ROUNDS_MAX = 300
SETTLE_STEP_MS = 1_000


class JudgedHost(FakeHost):
    """A store that says at once what may not be."""

    def __init__(self, world: FeedWorld) -> None:
        super().__init__()
        self.world = world
        self.loads = 0

    def load_begin(self, stream: bytes) -> None:
        if self.loaded:
            self.world.judge_load()
        super().load_begin(stream)

    def load_end(self, revision: int, mark: int, time_ms: int) -> None:
        super().load_end(revision, mark, time_ms)
        self.loads += 1
        self.world.judge_state("loaded")

    def settle(self) -> None:
        raise AssertionError("a feed settles each change itself")

    def apply(self, data: bytes, accounts: Sequence[bytes] = (), *, settle: bool = True) -> None:
        (revision,) = unpack_from("<Q", data, 16)
        self.world.judge(revision == self.published + 1, f"{revision} behind {self.published}")
        super().apply(data, accounts)
        self.world.judge_state("applied")

    def set_link(self, state: int, master_revision: int, heard_ms: int) -> None:
        if self.links:
            self.world.judge(heard_ms >= self.links[-1][2], "the age jumped back")
        self.world.judge(heard_ms <= self.world.told_ms, "a time that no master has told")
        super().set_link(state, master_revision, heard_ms)


class FeedWorld:
    """The play; each deed is a method that takes its chance from the seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.violations: list[str] = []
        self.told_ms = 1_000  # the newest time that was sent, or stood in the store
        self.root_ms = 1_000  # the master's clock
        self.stage = Stage(History(), parts=self.random.choice((1, 2, 3)))
        self.host = self.stage.host = JudgedHost(self)
        self.places: set[Place] = set()  # all states that a master has had
        self.reasons: set[str] = set()  # why a load may come
        self.sent: dict[Guest, int] = {}  # the revision up to which a feed was sent changes
        self.done: set[Guest] = set()  # feeds that sent their part
        self.oldest = 0  # revision that the master's log goes on from
        self._remember()
        if self.random.random() < 0.5:
            self.stage.resume_from(self.history, 10)
        self.stage.start()
        self.deeds: dict[Callable[[], None], int] = {
            self.change: 12,
            self.serve: 16,
            self.serve_a_piece: 20,
            self.send_alive: 8,
            self.cut_one: 1,
            self.cut_all: 1,
            self.wait: 4,
            self.fill: 1,
            self.empty: 4,
            self.restore: 1,
            self.replace: 1,
            self.withhold: 1,
            self.trim: 1,
            self.send_what_was_sent: 1,
            self.send_of_another_history: 2,
        }

    @property
    def history(self) -> History:
        return self.stage.history

    def run(self, steps: int) -> None:
        """So many deeds at random; then all is well, and the proxy has to get there."""
        for _ in range(steps):
            (deed,) = self.random.choices([*self.deeds], [*self.deeds.values()])
            deed()
            self.turn()
            self.judge_link()
        self.settle()
        self.stage.close()
        assert not self.violations, self.violations

    def turn(self, times: int = TURNS) -> None:
        for _ in range(times):
            self.stage.turn(0.0)
        origin = self.stage.origin
        if origin.phase is Phase.FOLLOWING and not origin._must_load and not self.host.full_at:
            self.reasons.clear()  # each of them has led to a load, or can't any more

    def settle(self) -> None:
        """Well behaved from now on."""
        self.empty()
        for _ in range(SETTLE_ROUNDS_MAX):
            if self.is_level():
                return
            self.turn()
            self.serve()
            self.send_alive()
            self.turn()
            self._pass(SETTLE_STEP_MS)
        raise AssertionError(
            f"not level: {self.position()}, the master is at {self._place(self.history.revision)}; "
            f"{self.stage.origin.phase}: {self.stage.origin.why_away}"
        )

    def is_level(self) -> bool:
        is_following = self.stage.origin.phase is Phase.FOLLOWING
        return is_following and self.position() == self._place(self.history.revision)

    def position(self) -> Place:
        return self.host.stream, self.host.published, self.host.mark

    # ------------------------------------------------------------------ judging

    def judge(self, is_so: bool, otherwise: str) -> None:
        """Keeps what may not be: an exception would be taken for a fault of the master."""
        if not is_so:
            self.violations.append(otherwise)

    def judge_state(self, how: str) -> None:
        self.judge(self.position() in self.places, f"{how}: {self.position()} was no master's")

    def judge_load(self) -> None:
        """A load has a reason: what is in force can't go on from here."""
        published = self.host.published
        is_same = self.history.stream == self.host.stream
        continues = is_same and self.history.marks.get(published) == self.host.mark
        if continues and published >= self.oldest:
            self.judge(bool(self.reasons), f"loads from {self.position()} for no reason")

    def judge_link(self) -> None:
        if not self.host.links:
            return
        state, revision, _ = self.host.links[-1]
        phase = self.stage.origin.phase
        if phase is Phase.FOLLOWING:
            self.judge(state == LINK_UP, "the link is there, and shown as away")
            self.judge(revision >= self.host.published, "the master is shown as behind")
        elif phase is Phase.AWAY:
            self.judge(state == LINK_DOWN, "the link is away, and shown as there")

    # ------------------------------------------------------------------ the master

    def change(self) -> None:
        self._pass(self.random.randint(0, 50))
        self.history.change(self.random.randint(1, 4), time_ms=self.root_ms)
        self._remember()

    def serve(self) -> None:
        """Does for each feed what it waits for, to its end."""
        for guest in self._feeds():
            if guest not in self.sent:
                self._greet(guest)
            self._send_part(guest)
            self._send_changes(guest, self.history.revision)

    def serve_a_piece(self) -> None:
        """Greets one feed, or sends its part, or one change."""
        feeds = self._feeds()
        if not feeds:
            return
        guest = self.random.choice(feeds)
        if guest not in self.sent:
            self._greet(guest)
        elif not self._send_part(guest):
            self._send_changes(guest, min(self.sent[guest] + 1, self.history.revision))

    def send_alive(self) -> None:
        """Of feeds that have everything, as a master does."""
        for guest in self._feeds():
            if self.sent.get(guest) == self.history.revision:
                self._tell(self.root_ms)
                self.stage.master.send_alive(guest, self.root_ms)

    def cut_one(self) -> None:
        if self.stage.master.guests:
            self._cut(self.random.choice(self.stage.master.guests))

    def cut_all(self) -> None:
        for guest in list(self.stage.master.guests):
            self._cut(guest)

    def wait(self) -> None:
        self._pass(self.random.choices((100, 600, 3_000, 11_000, 31_000), (6, 4, 2, 1, 1))[0])

    def fill(self) -> None:
        """The proxy's store takes nothing more, which after a while is a reason to load."""
        self.host.full_at = self.host.published + 1

    def empty(self) -> None:
        self.host.full_at = 0

    def restore(self) -> None:
        """The database is put back to an earlier state, and goes on otherwise."""
        now = self.history
        back = self.random.randint(max(10, now.revision - 5), now.revision)
        other = History(now.stream, back, now.marks[back])
        other.marks = {at: mark for at, mark in now.marks.items() if at <= back}
        other.entries = {at: data for at, data in now.entries.items() if at <= back}
        self._take_over(other)

    def replace(self) -> None:
        """Another master stands at that address."""
        other = History(bytes([self.random.randrange(256)] * 16), 10, self.random.randrange(1, 99))
        self._take_over(other)

    def withhold(self) -> None:
        """A change is left out, and the next is sent."""
        for guest in self._feeds():
            if self._follows(guest) and self.history.revision - self.sent[guest] > 1:
                self.reasons.add("a change was withheld")
                self.sent[guest] += 1
                self._send_changes(guest, self.sent[guest] + 1)

    def trim(self) -> None:
        """The master's log loses its oldest changes."""
        self.oldest = self.random.randint(self.oldest, self.history.revision)

    def send_what_was_sent(self) -> None:
        """A change comes a second time: the feed is ended, and nothing is done twice."""
        for guest in self._feeds():
            if self.sent.get(guest, 0) > 10 and self._is_sent_whole(guest):
                self._send(guest, self.sent[guest])

    def send_of_another_history(self) -> None:
        """The next revision comes as another master would have it: it may not be applied."""
        for guest in self._feeds():
            if self._follows(guest) and self.sent[guest] == self.history.revision:
                other = History(self.history.stream, self.history.revision, 4711)
                other.change(time_ms=self.root_ms)
                self.reasons.add("a change of another history came")
                self._tell(self.root_ms)
                guest.send("change", other.entries[other.revision])

    # ------------------------------------------------------------------ how it does it

    def _feeds(self) -> list[Guest]:
        return self.stage.master.feeds()

    def _is_sent_whole(self, guest: Guest) -> bool:
        """Whether changes are all that is left for it."""
        return guest in self.done or b"PART" not in guest.feed

    def _follows(self, guest: Guest) -> bool:
        """Whether the proxy takes changes from it just now."""
        is_following = self.stage.origin.phase is Phase.FOLLOWING
        return is_following and guest in self.sent and self._is_sent_whole(guest)

    def _greet(self, guest: Guest) -> None:
        words = guest.feed
        if b"PART" in words:
            self.stage.master.greet(guest, snapshot=True)
            self.sent[guest] = self.history.revision
            return
        stream, revision, mark = words[2].decode(), int(words[3]), int(words[4], 16)
        is_same = stream == self.history.stream.hex() and self.history.marks.get(revision) == mark
        continues = is_same and revision >= self.oldest
        self.stage.master.greet(guest, snapshot=not continues)
        if continues:
            self.sent[guest] = revision
        else:
            self.reasons.add("the master said that it can't continue")
            self.sent[guest] = self.history.revision  # it closes this one and asks for parts

    def _send_part(self, guest: Guest) -> bool:
        """Sends the part that a greeted feed asked for, as of now; False where it has it."""
        words = guest.feed
        if b"PART" not in words or guest in self.done:
            return False
        self.done.add(guest)
        self._tell(1_000)
        self.stage.master.send_part(guest, int(words[words.index(b"PART") + 1]))
        return True

    def _send_changes(self, guest: Guest, last: int) -> None:
        for revision in range(self.sent[guest] + 1, last + 1):
            self._send(guest, revision)
        self.sent[guest] = max(self.sent[guest], last)

    def _send(self, guest: Guest, revision: int) -> None:
        if guest not in self.stage.master.guests:
            return
        self._tell(self.root_ms)
        try:
            guest.send("change", self.history.entries[revision])
        except OSError:
            self._cut(guest)

    def _take_over(self, other: History) -> None:
        self.cut_all()
        self.stage.history = self.stage.master.history = other
        self.oldest = min(other.marks)
        self._remember()

    def _cut(self, guest: Guest) -> None:
        guest.socket.close()
        if guest in self.stage.master.guests:
            self.stage.master.guests.remove(guest)

    def _pass(self, milliseconds: int) -> None:
        self.stage.now_ms += milliseconds
        self.root_ms += milliseconds
        if self.host.full_at and milliseconds >= FITTING_RELOAD_MS // 10:
            self.reasons.add("the store was full for a while")

    def _tell(self, time_ms: int) -> None:
        self.told_ms = max(self.told_ms, time_ms)

    def _remember(self) -> None:
        self.places |= {self._place(revision) for revision in self.history.marks}

    def _place(self, revision: int) -> Place:
        return self.history.stream, revision, self.history.marks[revision]
