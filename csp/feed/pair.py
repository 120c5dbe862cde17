"""Lets a proxy act as one half of its pair: looks, asks the table, and does what it says.

1. It alone changes what the control segment shows of role and service (csp/process/standing.py).
2. A single server serves; a pair that is split or joined changes that at once, without a restart.
   Who joins a pair while it serves goes on until the row, which is with the master, says other.
3. The row is asked for once at a time; who is refused looks again, for another was faster.
4. A writer that is restarted goes on in the role that its predecessor has shown.
5. While the master is away the half that is behind follows the feed of the other one; it looks for
   the master each PROBE_MS, and as soon as the other one has it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from csp.errors import Busy, Conflict, CspError, MasterDown, NoPerm, NoRef
from csp.feed.pair_mind import WAIT_MS, Mind, Names
from csp.feed.pair_table import Action, Own, Peer, Root, Verdict, follows_peer
from csp.feed.peer import PeerLink
from csp.feed.route import Route
from csp.model.image import json_of
from csp.model.pairs import PAIRS_DBID, PairRow, Saying, read_pairs, read_saying
from csp.model.redundancy import Pair
from csp.model.types import ACCOUNT_CLASS_ID
from csp.observe.events import log_event
from csp.process.context import Upstream
from csp.process.keepalive import keepalive_in
from csp.process.origin import Later, StoreForOrigin
from csp.process.own_options import OwnOptions
from csp.process.places import for_clients, for_peer
from csp.process.polling import Descriptor
from csp.process.standing import NO_PAIR, ROLE_BACKUP, ROLE_PRIMARY, Standing

TAKE_AGAIN_MS = 500  # after the master could not decide
PROBE_MS = 15_000
WAIT_OPTION = "peer-switchover-tmout"

log = logging.getLogger("csp.feed")


class Feed(Protocol):
    """What a half has of the feed of its proxy."""

    def root_is_there(self) -> bool:
        """Whether the link to the master is up, and does not lead through the peer."""

    def is_at_peer(self) -> bool:
        """Whether the link leads to the peer."""

    def is_away(self) -> bool:
        """Whether the last attempt to bring a link up has failed."""

    def leave(self, why: str) -> None:
        """Ends the link, and makes one anew: to the master first."""

    def take_row(self, row: PairRow) -> Later[int]: ...


class Half:
    """This proxy as one of two; or single, as long as the configuration knows no other."""

    def __init__(
        self,
        feed: Feed,
        upstream: Upstream,
        register: Sequence[str | int],
        monotonic_ms: Callable[[], int],
    ) -> None:
        """`register`: the words of CFG.REGISTER."""
        self._feed = feed
        self._monotonic_ms = monotonic_ms
        self._peer_link = PeerLink(upstream, register, monotonic_ms, self.look)
        self._wait_ms = WAIT_MS
        self._present: frozenset[int] | None = None  # servers at those above; None: not told
        self._host: StoreForOrigin | None = None
        self._pair: Pair | None = None
        self._own_dbid = 0
        self._mind: Mind | None = None
        self._seen = (b"", 0)  # the state of the store that was looked at last
        self._record: bytes | None = None
        self._stored: PairRow | None = None  # the row that it holds
        self._shown: Standing | None = None
        self._is_taking = False
        self._take_ms = 0
        self._probe_ms = 0
        self._peer_had_root = False
        self._is_looking = False

    # What the origin calls.

    def start(self, host: StoreForOrigin) -> None:
        """Before anything is known of the pair, what was shown last holds."""
        self._host = host

    def use(self, upstream: Upstream) -> None:
        """Who signs in at the peer, and how."""
        self._peer_link.use(upstream)

    def take_options(self, options: OwnOptions) -> None:
        """How long it waits for others."""
        self._wait_ms = int(options.values.get(WAIT_OPTION, WAIT_MS // 1000)) * 1000
        if self._mind is not None:
            self._mind.wait_ms = self._wait_ms

    def take_pair(self, pair: Pair | None, own_dbid: int) -> None:
        """The pair that the configuration knows; None: a single server."""
        assert self._host is not None, "it has started"
        self._pair, self._own_dbid = pair, own_dbid
        if pair is None:
            self._mind = None
            self._peer_link.close()
            self._show(Standing())
            return
        peer = pair.peer_of(own_dbid)
        names = Names(pair.dbid, own_dbid, int(peer["DBID"]))
        own = pair.primary if own_dbid == pair.dbid else pair.backup
        keepalive = keepalive_in(own)
        if self._mind is None or self._mind.names != names:
            was = Own.PRIMARY if self._host.serving else Own.BACKUP
            self._mind = Mind(names, was, self._monotonic_ms())
            self._forget_store()
        self._mind.wait_ms = self._wait_ms
        self._mind.keepalive_ms = keepalive.local_ms or self._mind.keepalive_ms
        place = for_peer(peer, pair.host_of(names.peer))
        self._peer_link.lead(place, keepalive, self._mind)
        self.look()

    def lost(self) -> None:
        """The link to the master ended."""
        self._present = None
        self.look()

    def present(self, dbids: frozenset[int]) -> None:
        """Which servers are registered at the root."""
        self._present = dbids
        self.look()

    @property
    def present_above(self) -> frozenset[int]:
        """Those servers, for who passes it on."""
        return self._present or frozenset()

    def hear(self, dbid: int, text: bytes) -> bytes:
        """The peer says how it stands: how this half does."""
        if self._mind is None or dbid != self._mind.names.peer:
            raise NoPerm("CFG.PAIR is for the other half of this server's pair")
        try:
            told = read_saying(text)
        except ValueError as error:
            raise CspError(str(error)) from None
        self._mind.hear(told, self._monotonic_ms())
        self.look()
        return self._saying(self._mind, Action.STAY).pack()

    def switch_over(self) -> Later[None]:
        """Asks the root for the row that names the half which is not to serve now."""
        mind, now_ms = self._mind, self._monotonic_ms()
        if mind is None:
            raise NoRef(NO_PAIR)
        if not mind.root_is_there:
            raise MasterDown("nothing was done: the master, which decides it, is away")
        own_is_active = mind.row.named == mind.names.own
        if own_is_active and mind.peer(now_ms) is not Peer.READY:
            raise Busy(f"nothing was done: {self._why_not(mind, now_ms)}")
        target = mind.names.peer if own_is_active else mind.names.own
        later: Later[None] = Later()

        def answered(value: int | Exception) -> None:
            self._take_answer(mind, value)
            later.answer(value if isinstance(value, Exception) else None)

        try:
            self._feed.take_row(PairRow(mind.row.pair, mind.row.number + 1, target)).then(answered)
        except CspError as error:
            self._take_answer(mind, error)
            raise
        return later

    def descriptors(self) -> list[Descriptor]:
        """The sockets; asked in each turn, so what was published is looked at here."""
        host = self._host
        has_news = host is not None and self._seen != (host.stream, host.published)
        if self._mind is not None and has_news:
            self.look()
        return self._peer_link.descriptors()

    def tick(self, now_ms: int) -> None:
        """Called ten times a second."""
        self._peer_link.tick(now_ms)
        self.look()
        if self._mind is not None and self._feed.is_at_peer():
            self._look_for_master(self._mind, now_ms)

    def routes(self) -> list[Route]:
        """The ways to the peer's feed, where it is to be followed."""
        mind, host, now_ms = self._mind, self._host, self._monotonic_ms()
        if mind is None or host is None or mind.told is None or mind.peer(now_ms) is Peer.AWAY:
            return []
        own = (host.stream, host.published) if host.loaded else (b"", 0)
        told = (bytes.fromhex(mind.told.stream), mind.told.revision)
        root = Root.THERE if mind.root_is_there else Root.AWAY
        self._probe_ms = now_ms + PROBE_MS
        self._peer_had_root = mind.told.root
        return self._peer_link.routes(now_ms) if follows_peer(root, own, told) else []

    @property
    def peer_name(self) -> str:
        """The name of the other one's Application."""
        return str(self._pair.peer_of(self._own_dbid)["name"]) if self._pair is not None else ""

    def close(self) -> None:
        """Ends the link to the peer."""
        self._peer_link.close()

    # Looking, and doing.

    def look(self) -> None:
        """Does what the table says, as long as it says something new."""
        mind = self._mind
        if mind is None or self._is_looking:
            return
        self._is_looking = True  # what is done here is heard here again
        try:
            now_ms = self._monotonic_ms()
            self._see(mind, now_ms)
            verdict = mind.verdict(now_ms)
            if self._do(mind, verdict, now_ms):
                verdict = mind.verdict(now_ms)
            self._peer_link.say(self._saying(mind, verdict.action), now_ms)
            self._show(self._standing(mind, now_ms), verdict.why)
        finally:
            self._is_looking = False

    def _see(self, mind: Mind, now_ms: int) -> None:
        host = self._host
        assert host is not None, "it has started"
        mind.is_loaded = host.loaded
        if self._feed.root_is_there():
            mind.root(is_there=True, now_ms=now_ms)
            mind.present(self._present)
        elif mind.root_is_there or self._feed.is_away():
            mind.root(is_there=False, now_ms=now_ms)
        place = (host.stream, host.published)
        if place == self._seen or not host.loaded:
            return
        stream, revision = self._seen
        if stream and (host.stream != stream or host.published < revision):
            mind.forget_row()
            self._forget_store()
        self._seen = place
        record = host.image(ACCOUNT_CLASS_ID, PAIRS_DBID)
        if record is not None and record != self._record:
            self._stored = read_pairs(json_of(record)).get(mind.names.pair)
            if self._stored is not None:
                mind.has_row(self._stored)
        self._record = record

    def _forget_store(self) -> None:
        """What was read of the store is read again."""
        self._seen, self._record, self._stored = (b"", 0), None, None

    def _do(self, mind: Mind, verdict: Verdict, now_ms: int) -> bool:
        """Does it; whether this half is another one then."""
        match verdict.action:
            case Action.PROMOTE:
                log_event(log, "51400", reason=verdict.why)
                mind.did(Own.PRIMARY)
                return True
            case Action.DRAIN:
                log_event(log, "51401", reason=verdict.why)
                mind.did(Own.BACKUP)
                return True
            case Action.TAKE:
                self._take(mind, now_ms)
        return False

    def _take(self, mind: Mind, now_ms: int) -> None:
        if self._is_taking or now_ms < self._take_ms:
            return

        def answered(value: int | Exception) -> None:
            self._is_taking = False
            self._take_answer(mind, value)
            if isinstance(value, Exception):
                self._take_ms = self._monotonic_ms() + TAKE_AGAIN_MS
                log_event(log, "51402", reason=value)

        self._is_taking = True
        row = PairRow(mind.row.pair, mind.row.number + 1, mind.names.own)
        try:
            self._feed.take_row(row).then(answered)
        except CspError as error:
            answered(error)

    def _take_answer(self, mind: Mind, value: int | Exception) -> None:
        """A row whose number does not follow was asked for by what is known wrongly."""
        if isinstance(value, Conflict):
            mind.refuted(self._stored)

    def _look_for_master(self, mind: Mind, now_ms: int) -> None:
        has_root = mind.told is not None and mind.told.root
        if now_ms >= self._probe_ms or (has_root and not self._peer_had_root):
            self._probe_ms = now_ms + PROBE_MS
            self._feed.leave("the master is looked for")
        else:
            self._peer_had_root = has_root

    # What is said and shown.

    def _saying(self, mind: Mind, action: Action) -> Saying:
        host = self._host
        assert host is not None, "it has started"
        return Saying(
            serving=mind.own is Own.PRIMARY,
            yields=action is Action.YIELD,
            ready=host.loaded and mind.root_is_there,
            root=mind.root_is_there,
            stream=host.stream.hex() if host.loaded else "",
            revision=host.published if host.loaded else 0,
            number=mind.row.number,
            active=mind.row.active,
        )

    def _standing(self, mind: Mind, now_ms: int) -> Standing:
        assert self._pair is not None, "there is a mind"
        peer = self._pair.peer_of(self._own_dbid)
        state = mind.peer(now_ms)
        is_primary = mind.own is Own.PRIMARY
        return Standing(
            role=ROLE_PRIMARY if is_primary else ROLE_BACKUP,
            serving=is_primary,
            peer=str(peer["name"]),
            peer_dbid=mind.names.peer,
            peer_address=for_clients(peer, self._pair.host_of(mind.names.peer)).address,
            peer_state=Peer.SERVING.value if state is Peer.YIELDS else state.value,
            number=mind.row.number,
            why_not=self._why_not(mind, now_ms),
        )

    def _why_not(self, mind: Mind, now_ms: int) -> str:
        """Why a switchover now would not be seamless; empty where it would."""
        name, state = self.peer_name, mind.peer(now_ms)
        if not mind.root_is_there:
            return "the master is away"
        if state is Peer.AWAY:
            return f"nothing is heard of {name}: {self._peer_link.why_not or 'it is silent'}"
        if state is Peer.BEHIND:
            return f"{name} is behind: it has nothing loaded, or has lost the master"
        if state is Peer.YIELDS:
            return f"{name} has lost the master"
        is_primary = mind.own is Own.PRIMARY
        if is_primary is (state is Peer.SERVING):
            return "both serve" if is_primary else "none of the two serves"
        return ""

    def _show(self, standing: Standing, why: str = "") -> None:
        before = self._shown
        if standing == before:
            return
        assert self._host is not None, "it has started"
        self._shown = standing
        self._host.show_standing(standing)
        state = standing.peer_state
        if standing.peer and (
            before is None or (before.peer, before.peer_state) != (standing.peer, state)
        ):
            log_event(log, "51403", peer=standing.peer, state=state, reason=why)
