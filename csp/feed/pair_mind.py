"""Knows what one half of a pair has seen and heard, and asks the table what to do. No input or
output: times are handed in, by a monotonic clock, in milliseconds.

1. What was heard of the peer counts for the keepalive; a link to it that broke is its end until it
   says something again, by that link or its own.
2. The peer has gone from the root when it was seen there, or takes no connection any more, and is
   not seen there; just behind a link's return nothing is concluded: all come back one by one.
3. The row with the highest number counts, whoever told it; but what the root has refuted, a peer
   may tell no more, and the row of a history that was left is forgotten.
4. A primary that lost the root yields after YIELD_MS: a link that comes back at once moves nobody.
5. Before this half has looked for both root and peer, it does what the root's row says and no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from csp.feed.pair_table import Action, Own, Peer, Present, Root, Row, Sight, Verdict, decide
from csp.model.pairs import PairRow, Saying

YIELD_MS = 3_000
RETURN_MS = 3_000  # behind the return of the root, until all that was there is there again
LOOK_MS = 3_000  # that a half looks around after its start, at most
KEEPALIVE_MS = 10_000  # where the connection to the master states none
WAIT_MS = 30_000  # the default of `peer-switchover-tmout`


@dataclass(frozen=True)
class Names:
    """Who is who."""

    pair: int  # the DBID of the configured primary
    own: int
    peer: int


class Mind:
    """What one half of a pair thinks."""

    def __init__(self, names: Names, own: Own, now_ms: int) -> None:
        self.own = own
        self.wait_ms = WAIT_MS
        self.keepalive_ms = KEEPALIVE_MS
        self.row = PairRow(names.pair)
        self.names = names
        self.told: Saying | None = None  # the peer's last words
        self.is_loaded = False
        self._began_ms = now_ms
        self._root = Root.AWAY
        self._root_ms = now_ms  # since when
        self._has_looked_up = False
        self._has_looked_across = False
        self._present: frozenset[int] | None = None
        self._was_present = False  # the peer, at the root, ever
        self._was_present_now = False  # since the root is there
        self._peer_refuses = False  # nothing listens where it should
        self._heard_ms = -1
        self._is_joined = False  # a link to it is up
        self._waits_since_ms = -1
        self._refuted = 0  # the highest number that the root knew nothing of

    # What happens.

    def root(self, *, is_there: bool, now_ms: int) -> None:
        """The link to the root came up, or is down."""
        found = Root.THERE if is_there else Root.AWAY
        self._has_looked_up = True
        if found is not self._root:
            self._root, self._root_ms = found, now_ms
            if not is_there:
                self._present, self._was_present_now = None, False

    def present(self, dbids: frozenset[int] | None) -> None:
        """Which servers are registered at the root."""
        self._present = dbids
        if dbids is not None and self.names.peer in dbids:
            self._was_present = self._was_present_now = True

    def has_row(self, row: PairRow) -> None:
        """A row of the pair, of the store or of the peer; an older one is no news."""
        if row.pair == self.names.pair and row.number > self.row.number:
            self.row = row

    def forget_row(self) -> None:
        """Another history is loaded: its row comes next, if it has one."""
        self.row = PairRow(self.names.pair)
        self._refuted = 0

    def refuted(self, stored: PairRow | None) -> None:
        """The root has said that the number which follows this row is none: the store counts."""
        self._refuted = max(self._refuted, self.row.number)
        self.row = stored or PairRow(self.names.pair)

    def hear(self, told: Saying, now_ms: int) -> None:
        """The peer said how it stands."""
        self.told = told
        self._heard_ms = now_ms
        self._has_looked_across = True
        self._peer_refuses = False
        if told.number > self._refuted:
            self.has_row(PairRow(self.names.pair, told.number, told.active))

    def joined(self, now_ms: int) -> None:
        """A link to the peer is up; what it says comes next."""
        self._is_joined = True
        self._peer_refuses = False

    def busy(self, now_ms: int) -> None:
        """The peer lives, and has nothing loaded yet."""
        self.hear(Saying(), now_ms)

    def left(self, now_ms: int, *, refuses: bool) -> None:
        """The link to the peer broke or did not come up."""
        self._has_looked_across = True
        if self._is_joined:
            self.told = None
        self._is_joined = False
        self._peer_refuses = refuses

    # What it comes to.

    def peer(self, now_ms: int) -> Peer:
        """The other one as it was heard last."""
        told = self.told
        if told is None or now_ms - self._heard_ms > self.keepalive_ms:
            return Peer.AWAY
        if told.serving:
            return Peer.YIELDS if told.yields else Peer.SERVING
        return Peer.READY if told.ready and told.root else Peer.BEHIND

    def sight(self, now_ms: int) -> Sight:
        """All that counts, without the wait."""
        return Sight(
            self.own,
            self._root,
            self.peer(now_ms),
            self._row(),
            self._presence(now_ms),
            waited=False,
        )

    def verdict(self, now_ms: int) -> Verdict:
        """What to do now."""
        sight = self.sight(now_ms)
        at_once, in_time = decide(sight), decide(replace(sight, waited=True))
        if at_once.action is in_time.action:
            self._waits_since_ms = -1
        elif self._waits_since_ms < 0:
            self._waits_since_ms = now_ms
        has_waited = 0 <= self._waits_since_ms <= now_ms - self.wait_ms
        found = in_time if has_waited else at_once
        if self._looks_around(now_ms) and not (
            sight.root is Root.THERE and found.action is Action.PROMOTE
        ):
            return Verdict(Action.STAY, "it looks around")
        if found.action is Action.YIELD and now_ms - self._root_ms < YIELD_MS:
            return Verdict(Action.STAY, "the master was there just now")
        return found

    def did(self, own: Own) -> None:
        """It serves now, or does not."""
        self.own = own
        self._waits_since_ms = -1

    @property
    def root_is_there(self) -> bool:
        """Whether this half reaches the root."""
        return self._root is Root.THERE

    def _row(self) -> Row:
        if not self.is_loaded:
            return Row.UNSET
        named = self.row.named
        if named not in (self.names.own, self.names.peer):  # of an earlier pair
            named = self.names.pair
        return Row.ME if named == self.names.own else Row.OTHER

    def _presence(self, now_ms: int) -> Present:
        if self._root is Root.AWAY or self._present is None:
            return Present.UNKNOWN
        if self.names.peer in self._present:
            return Present.YES
        is_back = now_ms - self._root_ms >= RETURN_MS
        was_there = self._was_present_now or (self._was_present and is_back)
        has_gone = was_there or self._peer_refuses
        return Present.NO if has_gone else Present.UNKNOWN

    def _looks_around(self, now_ms: int) -> bool:
        is_over = self._has_looked_up and self._has_looked_across
        return not is_over and now_ms - self._began_ms < LOOK_MS
