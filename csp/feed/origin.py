"""Fills and follows a proxy's store from its master's feed.

One session link asks, feed links bring records and changes; all register as the Application.

1. What the store serves is touched by whole transactions in the master's order, or by the flip to
   a new generation; while a generation loads, the one in force serves.
2. A loss of any link ends all of them; the next attempt begins with the store's own position.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import replace

from csp.feed.above import Above
from csp.feed.alarms import LinkAlarms
from csp.feed.asking import Asking
from csp.feed.following import Following
from csp.feed.forwards import Forwards
from csp.feed.greeting import take_greeting
from csp.feed.heard import Heard
from csp.feed.kept import load_kept
from csp.feed.link import FAULT
from csp.feed.links import Links
from csp.feed.loading import Loading, Outcomes
from csp.feed.own import Own
from csp.feed.pair import Half
from csp.feed.phase import Clocks, Phase
from csp.feed.reports import Reports
from csp.feed.resume import TROUBLE_DELAY_MS_FIRST, TROUBLE_DELAY_MS_MAX, Backoff, decide
from csp.feed.returning import Returning
from csp.feed.route import Route
from csp.model.feed import (
    CHAIN,
    NOWHERE,
    FeedError,
    Position,
    read_chain,
    read_present,
    request_words,
)
from csp.model.redundancy import Pair
from csp.observe.events import log_event
from csp.process.context import ProcessContext
from csp.process.credentials import PasswordFileRefused, renewed
from csp.process.origin import Later, StoreForOrigin
from csp.process.own_options import OwnOptions
from csp.process.polling import Descriptor
from csp.resp import ErrorReply, Value

PARTS = 4  # more than the master has workers gain nothing; fewer leave its cores idle
# Where the connection states no time-out, or the master may work for long before it answers:
SILENCE_MS_MAX_OF = {
    Phase.SIGNING_IN: 30_000,  # the master's writer registers us, and may be in a long transaction
    Phase.GREETING: 30_000,
    Phase.LOADING: 60_000,  # a loading master may be short of a processor, but not of this much
    Phase.FOLLOWING: 10_000,  # a feed that is alive says so every second
}
UNTROUBLED_MS = 60_000  # what broke once may do so in the same way after a second
STEADY_MS = 1_000  # a link that held so long has earned an attempt at once when it breaks
NO_ROOM_RETRY_MS = 5_000  # a load that found no room is a lot of work to try again

log = logging.getLogger("csp.feed")


class FeedOrigin(Asking):
    """The origin of a proxy."""

    def __init__(
        self, context: ProcessContext, *, clocks: Clocks | None = None, parts: int = PARTS
    ) -> None:
        if context.upstream is None:
            raise ValueError("a feed needs a master: the context names none")
        self.phase = Phase.AWAY
        self.why_away = "not tried yet"
        self._upstream = context.upstream
        self._application = Own(context.app_name, lambda: self._host.reader())
        self._app_name = context.app_name
        self._state_folder = context.state_folder
        self._clocks = clocks or Clocks()
        super().__init__(Forwards(self._upstream.address, self._clocks.monotonic_ms))
        # Each connection from a stated port needs one: as few as there can be.
        self._part_count = 1 if self._upstream.source.has_port else parts
        self._backoff = Backoff(self._clocks.random)
        self._troubles = Backoff(self._clocks.random, TROUBLE_DELAY_MS_FIRST, TROUBLE_DELAY_MS_MAX)
        self._reports = Reports(self._upstream.shown_host, self._upstream.port)
        # The same program on another host is another instance.
        host = socket.gethostname()
        words = (context.app_name, "INSTANCE", f"{host}/{context.instance}")
        place = (*words, "HOST", host, "PID", os.getpid())
        self._servers = Above(
            self._upstream,
            context.state_folder,
            lambda: self._application.listed(secured=self._upstream.tls is not None),
        )
        self._place = place
        self._packs = bool(context.options.get("link-compression", True))
        self._links = self.probe()
        self._returning = Returning(self, self._clocks)
        self._half = Half(self, self._upstream, place, self._clocks.monotonic_ms)
        self._servers.to_peer = self._half.routes
        self._own = context.identity
        self._above: Sequence[str] = ()
        self._was_circle = False
        self._host: StoreForOrigin
        self._heard: Heard
        self._alarms: LinkAlarms
        self._following: Following
        self._loading: Loading | None = None
        self._must_load = ""  # why the next attempt loads whatever the master says
        self._try_ms = 0
        self._following_since_ms = 0

    # What the writer calls.

    def start(self, host: StoreForOrigin) -> None:
        """Begins the first attempt; what is loaded, or was kept on the disk, serves meanwhile."""
        self._host = host
        self._half.start(host)
        kept = load_kept(host, self._state_folder, self._app_name)
        self._heard = Heard(host)
        if kept is not None:
            self._heard.state(kept.end.revision, kept.heard_ms)
        self._alarms = LinkAlarms(host, self._upstream, self._clocks.monotonic_ms())
        self._following = Following(
            host,
            self._heard,
            self._clocks.monotonic_ms,
            on_lost=self._lost,
            on_wrong=lambda reason: self._refused(reason, FAULT),
            on_other=self._load_anew,
            on_side=self._take_side,
        )
        self._heard.show_down()
        self._connect()

    def take_options(self, options: OwnOptions) -> None:
        """Whether writes are passed on holds at once, which port of a backup at the next link."""
        self._half.take_options(options)
        self._is_writable = options.values.get("proxy-writable") is True
        self._returning.delay_ms = options.number("return-delay") * 1_000
        self._servers.is_same_port = options.values.get("consistent-port-selection") is True

    def above(self) -> Sequence[str]:
        """Whom the link leads to, and whom that one follows."""
        return self._above

    def servers_above(self) -> frozenset[int]:
        """Which servers those above have registered."""
        return self._half.present_above

    def take_pair(self, pair: Pair | None, own_dbid: int) -> None:
        """Whose other one it is."""
        self._half.take_pair(pair, own_dbid)

    def switch_over(self) -> Later[None]:
        """Has the other one of the pair take over."""
        return self._half.switch_over()

    def hear_peer(self, dbid: int, text: bytes) -> bytes:
        """The other half of the pair says how it stands."""
        return self._half.hear(dbid, text)

    def watches(self) -> Sequence[Descriptor]:
        """The links' sockets."""
        links = (self._links, self._half, self._returning.links)
        return [one for each in links if each is not None for one in each.descriptors()]

    def tick(self, now_ms: int) -> None:
        """Retries, and gives up what is silent."""
        self._alarms.tick(now_ms)
        self._half.tick(now_ms)
        if self.phase is Phase.AWAY:
            if now_ms >= self._try_ms:
                self._connect()
            return
        self._links.tick(now_ms)
        self._notes.tick(now_ms)
        if self.phase is Phase.FOLLOWING:
            if now_ms - self._following_since_ms > STEADY_MS:
                self._backoff.reset()
            if now_ms - self._following_since_ms > UNTROUBLED_MS:
                self._troubles.reset()
            self._following.tick(now_ms)
            self._returning.tick(now_ms)
        limit = SILENCE_MS_MAX_OF.get(self.phase)  # none, if the link was lost just now
        if limit is not None and self._links.is_silent(now_ms, limit):
            self._lost("the master is silent")
            return
        why = self._forwards.tick(now_ms)
        if why:
            self._lost(why)

    def reload(self) -> None:
        """Takes the master's password from its file, and asks at once whether it is right."""
        self._renew_credentials()
        if self.phase is Phase.AWAY:
            self._try_ms = 0
        else:
            self._links.try_credentials(self._tried)

    def note_stop(self) -> None:
        """The server ends."""

    def close(self) -> None:
        """Ends the links."""
        self.phase = Phase.AWAY
        self.why_away = "this proxy ends"
        self._half.close()
        self._drop_links()

    # What the half of a pair asks.

    def root_is_there(self) -> bool:
        """Whether the link to the master is up, and does not lead through the other half."""
        is_up = self.phase in (Phase.LOADING, Phase.FOLLOWING)
        return is_up and self._heard.is_root_there and not self.is_at_peer()

    def is_at_peer(self) -> bool:
        """Whether the link leads to the other half."""
        is_up = self.phase in (Phase.GREETING, Phase.LOADING, Phase.FOLLOWING)
        return is_up and self._links.session.route.to_peer

    def is_away(self) -> bool:
        """Whether the last attempt to bring a link up has failed."""
        return self.phase is Phase.AWAY

    def leave(self, why: str) -> None:
        """Ends the link, and makes one anew."""
        self._backoff.reset()
        self._lost(why)

    # Connecting.

    def _renew_credentials(self) -> None:
        try:
            self._upstream = renewed(self._upstream)
        except PasswordFileRefused as error:
            self._reports.once("51335", reason=str(error))
        keepalive = self._application.keepalive()
        if keepalive is not None:
            self._upstream = replace(self._upstream, keepalive=keepalive)
        self._servers.turns.spacing = self._application.spacing()
        self._links.use(self._upstream)
        self._servers.use(self._upstream)
        self._half.use(self._upstream)

    def _tried(self, value: Value) -> None:
        """The master's answer to credentials that were read while the link was up."""
        if isinstance(value, ErrorReply):
            reason = f"sign-in as {self._upstream.user} refused: {value}"
            self._alarms.refused(reason, value.word)
        else:
            self._alarms.accepted()
            log_event(log, "51334", user=self._upstream.user)

    def _connect(self) -> None:
        self._renew_credentials()
        log_event(log, "04500", host=self._upstream.shown_host, port=self._upstream.port)
        self.phase = Phase.SIGNING_IN
        self._links.open_session(self._registered)

    def _registered(self) -> None:
        route = self._links.session.route
        if route.to_peer:
            log_event(log, "51404", peer=self._half.peer_name, address=route)
        elif route.is_other:
            log_event(log, "51336" if route.rank else "51337", address=route)
        else:
            log_event(log, "04503", host=self._upstream.shown_host, port=self._upstream.port)
        self.phase = Phase.GREETING
        self._forwards.use(self._links.session)
        if self._must_load or not self._host.loaded:
            self._load()
        else:
            self._links.open_feed(0, "feed", request_words(self._position()), self._greeted)

    def _greeted(self, value: Value) -> None:
        """The first frame of a feed that asked to continue."""
        try:
            greeting = take_greeting(value, self._reports)
        except FeedError as error:
            self._refused(str(error), error.word)
            return
        decision = decide(self._position(), greeting)
        if decision.load:
            self._load_anew(decision.reason)
            return
        log_event(log, "51300", reason=decision.reason)
        self._heard.revision(greeting.position.revision)
        self._follow(0)

    def _position(self) -> Position:
        host = self._host
        return Position(host.stream, host.published, host.mark) if host.loaded else NOWHERE

    # Loading and following.

    def _load_anew(self, reason: str) -> None:
        """Leaves the feed under way and loads; what is in force serves on.

        The first time at once; where that does not help, the master is not loaded from in a loop.
        """
        log_event(log, "51301", reason=reason)
        self._must_load = reason
        delay_ms = self._troubles.next_delay_ms()
        if delay_ms:
            self._lost(f"loaded anew in {delay_ms} ms: {reason}", wait_ms=delay_ms)
            return
        self._links.close_feeds()
        self._following.forget()
        self.phase = Phase.GREETING
        self._load()

    def _load(self) -> None:
        outcomes = Outcomes(
            greeting=lambda value: take_greeting(value, self._reports),
            begun=self._load_begun,
            loaded=self._loaded,
            full=self._load_full,
            lost=self._lost,
            refused=self._refused,
            side=self._take_side,
        )
        self._loading = Loading(self._host, self._links, self._heard, self._clocks, outcomes)
        self._loading.start(self._part_count)

    def _load_begun(self) -> None:
        self.phase = Phase.LOADING
        self._show_there()

    def _loaded(self, kept: int) -> None:
        self._loading = None
        self._must_load = ""
        self._following.loaded()
        self._follow(kept)

    def _load_full(self, reason: str) -> None:
        """The new generation has no room; the one in force serves on, and is followed again."""
        log_event(log, "51304", revision=self._host.published, reason=reason)
        if self._following.loads_for_room:
            self._following.loads_for_room = False
            self._must_load = ""
        self._lost(f"no room to load: {reason}", wait_ms=NO_ROOM_RETRY_MS)

    def _follow(self, index: int) -> None:
        self.phase = Phase.FOLLOWING
        self._show_there()
        self._following_since_ms = self._clocks.monotonic_ms()
        self._following.follow(self._links.feeds[index])

    # Going back to a preferred server (returning.py).

    def probe(self) -> Links:
        """Links that lead nowhere yet."""
        return Links(
            self._upstream,
            self._place,
            self._clocks,
            self._lost,
            self._refused,
            self._answered,
            packs=self._packs,
            above=self._servers,
            revision=lambda: self._host.published if self._host.loaded else 0,
        )

    def present(self) -> Route | None:
        """The way by which it follows; None while it does not, or waits for room."""
        is_there = self.phase is Phase.FOLLOWING and self._following.is_level
        return self._links.session.route if is_there else None

    def hold(self) -> bool:
        """Has questions wait, and says whether all that were asked are answered."""
        return self._forwards.hold()

    def rest(self) -> Position:
        """Takes no changes for now; where it stands."""
        for link in self._links.feeds.values():
            link.paused = True
        return self._position()

    def stay(self) -> None:
        """Goes on as before, where there still is a link."""
        self._forwards.go_on()
        for link in list(self._links.feeds.values()):
            link.go_on(self._clocks.monotonic_ms())

    def decide(self, greeting: Value) -> str:
        """Why the feed of such a greeting is not followed; empty where it goes on from here."""
        try:
            decision = decide(self._position(), take_greeting(greeting, self._reports))
        except FeedError as error:
            return str(error)
        return decision.reason if decision.load else ""

    def move(self, links: Links, frames: Sequence[Value]) -> None:
        """Follows over these links, of whose feed these frames have come."""
        was, self._links = self._links, links
        links.heed(self._lost, self._refused, self._answered)
        self._following.forget()
        was.close()
        log_event(log, "51368", address=links.session.route)
        self._forwards.use(links.session)
        self._follow(0)
        feed = links.feeds[0]
        for frame in frames:
            feed.on_value(frame)

    @property
    def identity(self) -> str:
        """This server, as the servers of a chain know each other apart."""
        return self._own

    # The servers above.

    def _take_side(self, kind: bytes, frame: Sequence[bytes]) -> None:
        """What the server above says of servers."""
        if kind != CHAIN:
            self._half.present(read_present(frame))
            return

        # A server that follows this one is left, at once or when it begins to.
        try:
            self._above = read_chain(frame, self._own)
        except FeedError as why:
            self._was_circle = True
            self._links.avoid(self._links.session.route)
            self._refused(str(why))
            return
        self._was_circle = False
        self._show_there()

    def _show_there(self) -> None:
        """A circle is none any more only when the server above says whom it follows."""
        if not self._was_circle:
            self._alarms.there()

    # Losing the links.

    def _refused(self, reason: str, word: str = "") -> None:
        """The master is there and says no: asking again at once would not help."""
        if self.phase is Phase.AWAY:
            return
        self._backoff.skip_first()
        wait_ms = 0
        if word == FAULT:  # it may serve for a while each time
            self._troubles.skip_first()
            wait_ms = self._troubles.next_delay_ms()
        else:
            self._alarms.refused(reason, word)
        self._lost(reason, wait_ms=wait_ms)

    def _lost(self, reason: str, *, wait_ms: int = 0) -> None:
        """Ends all links; the next attempt comes at once, or after a delay that grows."""
        if self.phase is Phase.AWAY:
            return
        was = self.phase
        now_ms = self._clocks.monotonic_ms()
        self.phase = Phase.AWAY
        self.why_away = reason
        self._above = ()
        self._drop_links()
        turns = self._links.above.turns
        if was is Phase.SIGNING_IN:
            turns.failed()
        delay_ms, stated_ms = self._backoff.next_delay_ms(), turns.delay_ms
        self._try_ms = now_ms + max(delay_ms if stated_ms is None else stated_ms, wait_ms)
        self._alarms.lost(reason, now_ms)
        self._reports.loss(was, reason, now_ms)
        self._heard.show_down()
        self._half.lost()

    def _answered(self, value: Value) -> None:
        """What the session is sent beside the replies to commands."""
        try:
            self._forwards.take(value)
        except FeedError as error:
            self._refused(str(error), FAULT)

    def _drop_links(self) -> None:
        self._returning.close()
        self._links.close()
        self._forwards.lost(self.why_away)
        if self._loading is not None:
            self._loading.give_up()
            self._loading = None
        self._following.forget()
