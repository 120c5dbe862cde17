"""Tells invalidations across workers: who tracks is of one worker, who is told may be of another.

1. All that one worker has to tell another goes in one question at a time, in order; what comes
   meanwhile is gathered. So there are never more questions than workers.
2. What was not answered is asked again, keys as a null: a null too many costs a client some reads,
   a lost invalidation would leave its cache wrong for good.
3. For one connection KEYS_MAX keys wait at most, then a null instead.
4. Each worker knows which workers are told through its connections, and tells those when one ends.
   One that begins says so to all: its predecessor may have died with connections that tracked.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from csp.errors import CspError
from csp.worker.call import Lane, State
from csp.worker.mailbox import Tell, Words

REDIRECT = b"REDIRECT"  # the mailbox's verb; what follows it, and what is answered:
JOIN = b"JOIN"  # id: is it there, and may its end be told to the slot that asks? 1 or 0
KEYS = b"KEYS"  # id, count, keys: tells it so; 1, or 0 where it has gone
NULL = b"NULL"  # id: the same, of all keys
END = b"END"  # id of who asks: it has gone; 1
BEGUN = b"BEGUN"  # the slot that asks begins anew; 1

KEYS_MAX = 1_000
BYTES_MAX = 32 * 1024  # of the words of one question; a key is shorter than the rest of a message
RETRY_MS = 500
TRIES_MAX = 20  # then its worker is taken for dead: a successor would have answered
_PURPOSE = "redirects"  # of what is undone when a target ends

Joined = Callable[[bool], None]


def slot_of(client_id: int) -> int:
    """Whose connection has an id: the loop gives them so."""
    return client_id & 63


@dataclass
class Peer:
    """What is to be told to another worker."""

    joins: deque[tuple[int, Joined]] = field(default_factory=deque)
    ends: deque[int] = field(default_factory=deque)
    keys: dict[int, list[bytes] | None] = field(default_factory=dict)  # None: all of them
    is_asked: bool = False
    tries: int = 0


@dataclass
class Target:
    """A connection of this worker through which others are told."""

    conn: int
    slots: set[int] = field(default_factory=set)


class Redirects:
    """One worker's part."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._peers: dict[int, Peer] = {}
        self._targets: dict[int, Target] = {}
        self._joined: Counter[int] = Counter()  # ids of other workers' connections: how often

    def start(self) -> None:
        """Says to all that what the last worker of this slot knew is lost."""
        slot = b"%d" % self._lane.info.slot
        self._lane.mailbox.ask([REDIRECT, slot, BEGUN, slot], lambda _: None)

    # ---- what this worker's connections track ----

    def join(self, target: int, then: Joined) -> None:
        """Asks whether a connection of another worker is there, and to be told when it ends."""
        self._peer(target).joins.append((target, then))
        self._ask(slot_of(target))

    def leave(self, target: int, *, tell: bool = True) -> None:
        """One that was told through it has ended; its target drops all that it knows."""
        self._joined[target] -= 1
        if self._joined[target] <= 0:
            del self._joined[target]
        if tell:
            self.invalidate(target, None)

    def invalidate(self, target: int, keys: list[bytes] | None) -> None:
        """Tells a connection of another worker; None: all keys."""
        waiting = self._peer(target).keys
        before = waiting.get(target, [])
        if before is None or keys is None or len(before) + len(keys) > KEYS_MAX:
            waiting[target] = None
        else:
            waiting[target] = before + keys
        self._ask(slot_of(target))

    def _peer(self, target: int) -> Peer:
        return self._peers.setdefault(slot_of(target), Peer())

    def _ask(self, slot: int) -> None:
        """Asks all that waits for a worker, unless it owes an answer."""
        peer = self._peers[slot]
        if peer.is_asked or not (peer.joins or peer.ends or peer.keys):
            return
        asked = Asked(peer)
        peer.is_asked = True
        words = [REDIRECT, b"%d" % self._lane.info.slot, *asked.words]
        try:
            self._lane.mailbox.ask(
                words, lambda answers: self._answered(slot, asked, answers), to=slot
            )
        except CspError:
            self._again(slot, asked)

    def _answered(self, slot: int, asked: Asked, answers: list[Words]) -> None:
        if not answers or len(answers[0]) != asked.count:
            self._again(slot, asked)
            return
        peer = self._peers[slot]
        peer.is_asked, peer.tries = False, 0
        told = iter(answers[0])
        for target, then in asked.joins:
            is_there = next(told) == b"1"
            if is_there:
                self._joined[target] += 1
            then(is_there)
        for _ in asked.ends:
            next(told)
        for target in asked.keys:
            if next(told) != b"1":
                self._gone(target)
        self._ask(slot)

    def _again(self, slot: int, asked: Asked) -> None:
        """No answer: a moment later, and without the keys."""
        peer = self._peers[slot]
        peer.tries += 1
        if peer.tries > TRIES_MAX:
            self._give_up(slot, asked)
            return
        peer.joins.extendleft(reversed(asked.joins))
        peer.ends.extendleft(reversed(asked.ends))
        peer.keys |= dict.fromkeys(asked.keys)

        def retry() -> None:
            peer.is_asked = False
            self._ask(slot)

        self._lane.loop.call_later(RETRY_MS, retry)

    def _give_up(self, slot: int, asked: Asked) -> None:
        peer = self._peers.pop(slot)
        for _, then in (*asked.joins, *peer.joins):
            then(False)
        for target in {*asked.keys, *peer.keys}:
            self._gone(target)

    def _gone(self, target: int) -> None:
        self._joined.pop(target, None)
        self._lane.loop.tracking.gone(target)

    # ---- who is told through this worker's connections ----

    def answer(self, words: Words, tell: Tell) -> None:
        """What another worker asks and tells."""
        slot = int(words[0])
        told = []
        for verb, number, keys in _parts(words[1:]):
            told.append(b"1" if self._take(slot, verb, number, keys) else b"0")
        tell(told)

    def _take(self, slot: int, verb: bytes, number: int, keys: list[bytes] | None) -> bool:
        if verb == JOIN:
            return self._let_join(slot, number)
        if verb == END:
            self._gone(number)
            return True
        if verb == BEGUN:
            self._begun(number)
            return True
        target = self._targets.get(number)
        return target is not None and self._lane.loop.tracking.tell(target.conn, keys)

    def _let_join(self, slot: int, number: int) -> bool:
        target = self._targets.get(number)
        if target is None:
            conn = self._lane.loop.tracking.find(number)
            if conn < 0:
                return False
            target = self._targets[number] = Target(conn)
            state = self._lane.states.setdefault(conn, State())
            state.on_close[_PURPOSE] = lambda: self._end(number)
        target.slots.add(slot)
        return True

    def part(self, conn: int) -> None:
        """Another account has signed in on a connection: others are told through it no more."""
        state = self._lane.states.get(conn)
        if state is not None and _PURPOSE in state.on_close:
            state.on_close[_PURPOSE]()

    def _end(self, number: int) -> None:
        """A connection has ended through which others are told."""
        target = self._targets.pop(number, None)
        if target is None:
            return
        state = self._lane.states.get(target.conn)
        if state is not None:
            state.on_close.pop(_PURPOSE, None)
        for slot in target.slots:
            self._peers.setdefault(slot, Peer()).ends.append(number)
            self._ask(slot)

    def _begun(self, slot: int) -> None:
        for target in self._targets.values():
            if slot in target.slots:
                target.slots.discard(slot)
                self._lane.loop.tracking.tell(target.conn, None)
        for target_id in [one for one in self._joined if slot_of(one) == slot]:
            self._gone(target_id)


class Asked:
    """One question: as much of what waits for a worker as fits."""

    def __init__(self, peer: Peer) -> None:
        self.joins: list[tuple[int, Joined]] = []
        self.ends: list[int] = []
        self.keys: list[int] = []
        self.words: Words = []
        self._size = 0
        while peer.joins and self._has_room():
            self.joins.append(peer.joins.popleft())
            self._add(JOIN, self.joins[-1][0])
        while peer.ends and self._has_room():
            self.ends.append(peer.ends.popleft())
            self._add(END, self.ends[-1])
        while peer.keys and self._has_room():
            target, keys = next(iter(peer.keys.items()))
            del peer.keys[target]
            self.keys.append(target)
            if keys is None or sum(len(key) + 16 for key in keys) > BYTES_MAX // 2:
                self._add(NULL, target)
            else:
                self._add(KEYS, target, b"%d" % len(keys), *keys)

    @property
    def count(self) -> int:
        """Of what is answered."""
        return len(self.joins) + len(self.ends) + len(self.keys)

    def _has_room(self) -> bool:
        return self._size < BYTES_MAX

    def _add(self, verb: bytes, number: int, *more: bytes) -> None:
        words = [verb, b"%d" % number, *more]
        self.words += words
        self._size += sum(len(word) + 16 for word in words)


def _parts(words: Words) -> Iterator[tuple[bytes, int, list[bytes] | None]]:
    """Verb, id and keys of each part of a question."""
    at = 0
    while at < len(words):
        verb, number = words[at], int(words[at + 1])
        at += 2
        keys = None
        if verb == KEYS:
            count = int(words[at])
            keys = words[at + 1 : at + 1 + count]
            at += 1 + count
        yield verb, number, keys
