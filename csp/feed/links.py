"""Holds the links to one master: the session, which asks, and the feeds, which bring.

1. The loss of any of them is told to one place, which ends them all.
2. A feed has the number of its part; the one that goes on after a load keeps it.
3. Each registers as the proxy's Application before it asks; together they hold one place. They
   say how long either end may be silent.
4. Feeds go to the address at which the session is: one name may stand for several servers.
5. By TLS or not is said once, of all servers above: where a link goes on elsewhere it is not lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from csp.feed.above import Above
from csp.feed.dial import Dial, Heeded
from csp.feed.link import Link, LinkState
from csp.feed.phase import Clocks
from csp.feed.route import Route
from csp.model.feed import can_pack, packed_words
from csp.process.context import Upstream
from csp.process.lookup import LookupFailed
from csp.process.polling import Descriptor
from csp.resp import ErrorReply, Value

SESSION = "session"


class Links:
    """All connections of a proxy to its master."""

    def __init__(
        self,
        upstream: Upstream,
        register: Sequence[str | int],
        clocks: Clocks,
        on_broken: Callable[[str], None],
        on_refused: Callable[[str, str], None],
        on_answer: Callable[[Value], None],
        *,
        packs: bool,
        above: Above,
        revision: Callable[[], int],
    ) -> None:
        """`on_answer` takes what the session is sent that answers no command; `packs`: feeds come
        packed from a master that can; `above`: the servers that may be followed; `revision`: the
        one that is served.
        """
        self.feeds: dict[int, Link] = {}
        self._upstream = upstream
        self._clocks = clocks
        self._packs = packs
        self._register = register  # the words of CFG.REGISTER
        self._on_broken = on_broken
        self._on_refused = on_refused
        self._on_answer = on_answer
        self._session: Link | None = None
        self._was_silent = False
        self._dials: dict[str, Dial] = {}
        self.above = above
        self._revision = revision
        self._on_session: Callable[[], None] | None = None  # waits for the master's addresses
        self._better_than: Route | None = None

    def heed(
        self,
        on_broken: Callable[[str], None],
        on_refused: Callable[[str, str], None],
        on_answer: Callable[[Value], None],
    ) -> None:
        """Others are told of them from now on."""
        self._on_broken, self._on_refused = on_broken, on_refused
        self._on_answer = on_answer

    def use(self, upstream: Upstream) -> None:
        """Signs in with these credentials from now on; links that are there stay."""
        self._upstream = upstream

    def try_credentials(self, answer: Callable[[Value], None]) -> None:
        """Signs in once more on the session, where there is one: does the master take them?"""
        link = self._session
        if link is not None and link.state is LinkState.READY:
            link.command("AUTH", self._upstream.user, self._upstream.password, answer=answer)

    def open_session(self, on_ready: Callable[[], None], better_than: Route | None = None) -> None:
        """Looks the master up, connects, signs in and registers; then commands may be asked.

        `better_than`: only servers are tried that are preferred to the one of this way.
        """
        self._better_than = better_than
        self.above.begin(self._clocks.monotonic_ms())
        self._on_session = on_ready
        self._take_addresses()

    def _take_addresses(self) -> None:
        """Goes on with the session once the master's addresses are known."""
        if self._on_session is None:
            return
        try:
            routes = self._routes(self._clocks.monotonic_ms())
        except LookupFailed as error:
            self._on_session = None
            self._on_broken(str(error))
            return
        if not routes:
            return
        on_ready, self._on_session = self._on_session, None
        routes = self.above.turns.pick(routes)

        def register(link: Link) -> None:
            self._session = link
            self._ask_place(link, placed)

        def placed(told: Value) -> None:
            self.above.turns.linked(self.session.route)
            if not self.session.route.is_other:
                self.above.learn(told)
            on_ready()

        self._dial(SESSION, 0, routes, register, lambda value: self._on_answer(value))

    def _routes(self, now_ms: int) -> Sequence[Route] | None:
        present = self._better_than
        return (
            self.above.take(now_ms) if present is None else self.above.better_than(present, now_ms)
        )

    def open_feed(
        self, index: int, name: str, words: Sequence[str | int], on_value: Callable[[Value], None]
    ) -> None:
        """Connects to where the session is, signs in, registers and asks for the feed."""
        assert self._session is not None, "feeds come after the session"

        def register(link: Link) -> None:
            self.feeds[index] = link
            self._ask_place(link, lambda told: self._ask_feed(link, words, told))

        self._dial(name, 1 + index, [self._session.route], register, on_value)

    @property
    def session(self) -> Link:
        """The link that asks, once it is registered."""
        assert self._session is not None, "it is registered"
        return self._session

    def descriptors(self) -> Sequence[Descriptor]:
        """The links' sockets."""
        return [one for dial in self._dials.values() for one in dial.descriptors()]

    def tick(self, now_ms: int) -> None:
        """Gives up what takes too long to come up."""
        self._take_addresses()
        for dial in list(self._dials.values()):
            dial.tick(now_ms)

    def is_silent(self, now_ms: int, most_ms: int) -> bool:
        """Whether a link that should speak has not for too long; called each tick.

        What came while this process stood still is read before the next tick, so silence counts
        when it is found twice.
        """
        links = [*self.feeds.values(), *([self._session] if self._session is not None else [])]
        is_now = any(link.is_silent(now_ms, most_ms) for link in links)
        was, self._was_silent = self._was_silent, is_now
        return was and is_now

    def avoid(self, route: Route) -> None:
        """The server at its end is no way on: the next attempt begins with the others."""
        self.above.avoid(route.rank, self._clocks.monotonic_ms())

    def close_feeds(self) -> None:
        """Ends the feeds; the session goes on."""
        for name in [name for name in self._dials if name != SESSION]:
            self._dials.pop(name).close()
        self.feeds.clear()

    def close(self) -> None:
        """Ends all."""
        self._on_session = None
        self.close_feeds()
        for dial in self._dials.values():
            dial.close()
        self._dials.clear()
        self._session = None

    def _dial(
        self,
        name: str,
        number: int,
        routes: Sequence[Route],
        on_ready: Callable[[Link], None],
        on_value: Callable[[Value], None],
    ) -> None:
        def make(route: Route, now_ms: int, heeded: Heeded) -> Link:
            return Link(
                route,
                self._upstream,
                title=f"csp-proxy-{name}",
                number=number,
                now_ms=now_ms,
                on_ready=heeded.ready,
                on_value=on_value,
                on_broken=heeded.broken,
                on_refused=heeded.refused,
            )

        self._dials[name] = Dial(
            routes,
            make,
            self._clocks.monotonic_ms(),
            on_ready=on_ready,
            on_broken=lambda reason: self._on_broken(reason),
            on_refused=lambda reason, word: self._on_refused(reason, word),
        )

    def _ask_feed(self, link: Link, words: Sequence[str | int], told: Value) -> None:
        """Asks for a feed, packed where the master says that it can."""
        if self._packs and can_pack(told):
            link.unpack()
            words = packed_words(words)
        link.stream("CFG.FEED", *words)

    def _ask_place(self, link: Link, then: Callable[[Value], None]) -> None:
        """Registers this connection as the proxy's Application."""

        def answered(value: Value) -> None:
            if link.state is LinkState.BROKEN:
                return
            if isinstance(value, ErrorReply):
                self.avoid(link.route)
                reason = f"application {self._register[0]} refused: {value}"
                self._on_refused(reason, value.word)
            else:
                link.is_kept = True
                then(value)

        words = [*self._register, *self._upstream.keepalive.words]
        if link.route.is_other:  # one that is behind is no way on: it would take us back
            words += ["MINREV", self._revision()]
        link.command("CFG.REGISTER", *words, answer=answered)
