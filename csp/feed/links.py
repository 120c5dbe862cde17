"""Holds the links to one master: the session, which asks, and the feeds, which bring.

1. The loss of any of them is told to one place, which ends them all.
2. A feed has the number of its part; the one that goes on after a load keeps it.
3. Each registers as the proxy's Application before it asks; together they hold one place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from csp.errors import MasterDown
from csp.feed.link import Link, LinkState
from csp.feed.phase import Clocks
from csp.process.context import Upstream
from csp.process.polling import Descriptor
from csp.resp import ErrorReply, Value


class Links:
    """All connections of a proxy to its master."""

    def __init__(
        self,
        upstream: Upstream,
        register: Sequence[str | int],
        clocks: Clocks,
        on_broken: Callable[[str], None],
        on_refused: Callable[[str, str], None],
    ) -> None:
        self.feeds: dict[int, Link] = {}
        self._upstream = upstream
        self._clocks = clocks
        self._register = register  # the words of CFG.REGISTER
        self._on_broken = on_broken
        self._on_refused = on_refused
        self._session: Link | None = None

    def use(self, upstream: Upstream) -> None:
        """Signs in with these credentials from now on; links that are there stay."""
        self._upstream = upstream

    def try_credentials(self, answer: Callable[[Value], None]) -> None:
        """Signs in once more on the session, where there is one: does the master take them?"""
        link = self._session
        if link is not None and link.state is LinkState.READY:
            link.command("AUTH", self._upstream.user, self._upstream.password, answer=answer)

    def open_session(self, on_ready: Callable[[], None]) -> None:
        """Connects, signs in and registers; then commands may be asked."""

        def register() -> None:
            if self._session is not None:
                self._ask_place(self._session, on_ready)

        self._session = self._new_link("session", register, self._unasked)

    def open_feed(
        self, index: int, name: str, words: Sequence[str | int], on_value: Callable[[Value], None]
    ) -> None:
        """Connects, signs in, registers and asks for the feed that the words name."""

        def ask() -> None:
            self.feeds[index].stream("CFG.FEED", *words)

        def register() -> None:
            self._ask_place(self.feeds[index], ask)

        self.feeds[index] = self._new_link(name, register, on_value)

    def ask(self, *arguments: str | int, answer: Callable[[Value], None], why_away: str) -> None:
        """Sends a command through the session; MasterDown where there is none."""
        link = self._session
        if link is None or link.state is not LinkState.READY:
            raise MasterDown(f"the master {self._upstream.host} is away: {why_away}")
        link.command(*arguments, answer=answer)

    def watches(self) -> Sequence[Descriptor]:
        """The links' sockets."""
        found = [link.watch() for link in self._all()]
        return [watch for watch in found if watch is not None]

    def tick(self, now_ms: int) -> None:
        """Gives up what takes too long to come up."""
        for link in self._all():
            link.tick(now_ms)

    def is_silent(self, now_ms: int, limit_ms: int) -> bool:
        """Whether a feed that should speak has not for so long."""
        return any(
            link.state is LinkState.READY and not link.paused and now_ms - link.heard_ms > limit_ms
            for link in self.feeds.values()
        )

    def close_feeds(self) -> None:
        """Ends the feeds; the session goes on."""
        for link in list(self.feeds.values()):
            link.close()
        self.feeds.clear()

    def close(self) -> None:
        """Ends all."""
        for link in self._all():
            link.close()
        self._session = None
        self.feeds.clear()

    def _all(self) -> list[Link]:
        session = [self._session] if self._session is not None else []
        return session + list(self.feeds.values())

    def _new_link(
        self, name: str, on_ready: Callable[[], None], on_value: Callable[[Value], None]
    ) -> Link:
        return Link(
            self._upstream,
            title=f"csp-proxy-{name}",
            now_ms=self._clocks.monotonic_ms(),
            on_ready=on_ready,
            on_value=on_value,
            on_broken=self._on_broken,
            on_refused=self._on_refused,
        )

    def _ask_place(self, link: Link, then: Callable[[], None]) -> None:
        """Registers this connection as the proxy's Application."""

        def answered(value: Value) -> None:
            if link.state is LinkState.BROKEN:
                return
            if isinstance(value, ErrorReply):
                reason = f"application {self._register[0]} refused: {value}"
                self._on_refused(reason, value.word)
            else:
                then()

        link.command("CFG.REGISTER", *self._register, answer=answered)

    def _unasked(self, value: Value) -> None:
        self._on_broken(f"an answer that nobody asked for: {str(value)[:80]}")
