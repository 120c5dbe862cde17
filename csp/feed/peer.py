"""Holds the link of one half of a pair to the other, by which both say how they stand.

1. It is made to the port for HA synchronization, else the default one, else any; by TLS exactly
   where the links to the master are.
2. What was said last is said again each third of the keepalive, and at once when it changes.
3. A link that breaks is made again, at once and then each RETRY_MS. The owner hears of each end,
   and whether it was that nothing listens there.
4. A silent link is given up after the keepalive.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from csp.client.address import parse_address
from csp.feed.link import Link, LinkState
from csp.feed.route import Route
from csp.model.feed import REASON_CHARACTERS_MAX
from csp.model.pairs import Saying, read_saying
from csp.process.context import Upstream
from csp.process.keepalive import Keepalive
from csp.process.lookup import Endpoint, Lookup, LookupFailed
from csp.process.places import Place
from csp.process.polling import Descriptor
from csp.process.ports import Security
from csp.process.source import ANYWHERE
from csp.resp import ErrorReply, Value

RETRY_MS = 500
RANK = 1_000  # of the ways to the peer's feed: behind those to all servers above
TITLE = "csp-peer"
LOADING = "LOADING"  # it lives, and has nothing that it could sign anybody in with
REFUSED = os.strerror(errno.ECONNREFUSED)  # nothing listens there


class Listener(Protocol):
    """Who hears what comes over the link."""

    def hear(self, told: Saying, now_ms: int) -> None: ...
    def busy(self, now_ms: int) -> None: ...
    def joined(self, now_ms: int) -> None: ...
    def left(self, now_ms: int, *, refuses: bool) -> None: ...


class PeerLink:
    """One half's link to the other."""

    def __init__(
        self,
        upstream: Upstream,
        register: Sequence[str | int],
        monotonic_ms: Callable[[], int],
        heard: Callable[[], None],
    ) -> None:
        """`register`: the words of CFG.REGISTER; `heard`: something came, or the link ended."""
        self.why_not = "not tried yet"  # there is no link
        self.is_joined = False  # registered at the peer
        self._upstream = upstream
        self._register = register
        self._monotonic_ms = monotonic_ms
        self._heard = heard
        self._listener: Listener | None = None
        self._place = Place()
        self._lookup: Lookup | None = None
        self._is_looking = False
        self._link: Link | None = None
        self._next_ms = 0
        self._tries = 0  # since the link was there
        self._saying = Saying()
        self._said: Saying | None = None  # over this link
        self._said_ms = 0
        self._was_silent = False

    def use(self, upstream: Upstream) -> None:
        """Who signs in, and how, from now on."""
        self._upstream = replace(upstream, keepalive=self._upstream.keepalive)

    def lead(self, place: Place, keepalive: Keepalive, listener: Listener | None) -> None:
        """Where the peer listens, and who hears of it; without a listener there is no peer."""
        self._upstream = replace(self._upstream, keepalive=keepalive)
        if place != self._place or listener is None:
            self.close()
            self._place, self._lookup = place, None
        self._listener = listener
        self._next_ms = 0

    def say(self, saying: Saying, now_ms: int) -> None:
        """How this half stands: said at once where that is news."""
        self._saying = saying
        due = now_ms - self._said_ms >= self._upstream.keepalive.sign_ms
        is_news = self._said is None or news_of(saying) != news_of(self._said)
        if self.is_joined and (due or is_news):
            self._send(now_ms)

    def descriptors(self) -> list[Descriptor]:
        """The link's socket."""
        found = self._link.watch() if self._link is not None else None
        return [found] if found is not None else []

    def tick(self, now_ms: int) -> None:
        """Makes the link, and gives up one that is silent."""
        if self._listener is None:
            return
        link = self._link
        if link is None:
            if now_ms >= self._next_ms:
                self._connect(now_ms)
            return
        link.tick(now_ms)
        # What came while this process stood still is read before the next tick.
        is_now = link.is_silent(now_ms, self._upstream.keepalive.local_ms or now_ms)
        was, self._was_silent = self._was_silent, is_now
        if was and is_now:
            link.close("the other one is silent")

    def close(self) -> None:
        """Ends it, and tells nobody."""
        if self._link is not None:
            self._link.close()
        self._link, self.is_joined, self._said, self._is_looking = None, False, None, False

    def routes(self, now_ms: int) -> list[Route]:
        """The ways to the peer, for who follows its feed too."""
        if self._lookup is None:
            return []
        try:
            return [self._route(one) for one in self._lookup.take(now_ms) or ()]
        except LookupFailed:
            return []

    # The link.

    def _connect(self, now_ms: int) -> None:
        refusal = self._why_unfit()
        if refusal:
            self._gone(refusal, now_ms)
            return
        if self._lookup is None:
            host, port = parse_address(self._place.address)
            self._lookup = Lookup(host, port)
        if not self._is_looking:
            self._lookup.begin(now_ms)
            self._is_looking = True
        try:
            endpoints = self._lookup.take(now_ms)
        except LookupFailed as error:
            self._gone(str(error), now_ms)
            return
        if endpoints is None:
            return
        self._is_looking = False
        route = self._route(endpoints[self._tries % len(endpoints)])
        self._tries += 1
        self._link = Link(
            route,
            self._upstream,
            title=TITLE,
            number=0,
            now_ms=now_ms,
            on_ready=self._ready,
            on_value=lambda _: None,  # pushes to who subscribed to nothing
            on_broken=self._broken,
            on_refused=self._refused,
        )

    def _why_unfit(self) -> str:
        """Why the place can't be gone to; empty where it can."""
        if not self._place.address:
            return "its Application and Host do not say where it listens"
        has_tls = self._upstream.tls is not None
        if has_tls and self._place.security is Security.UNSECURED:
            return f"{self._place.address} takes no TLS, by which the links to the master go"
        if not has_tls and self._place.security is Security.SECURED:
            return f"{self._place.address} takes TLS alone, and the links to the master go without"
        return ""

    def _route(self, endpoint: Endpoint) -> Route:
        host, _ = parse_address(self._place.address)
        source = ANYWHERE if self._upstream.source.has_port else self._upstream.source
        return Route(endpoint, host, self._upstream.tls, source, to_peer=True, rank=RANK)

    def _ready(self) -> None:
        assert self._link is not None
        words = (*self._register, *self._upstream.keepalive.words)
        self._link.command("CFG.REGISTER", *words, answer=self._registered)

    def _registered(self, value: Value) -> None:
        if self._link is None or self._link.state is LinkState.BROKEN:
            return
        if isinstance(value, ErrorReply):
            self._refused(str(value), value.word)
            return
        now_ms = self._monotonic_ms()
        self._link.is_kept = True
        self.is_joined, self.why_not, self._tries = True, "", 0
        if self._listener is not None:
            self._listener.joined(now_ms)
        self._send(now_ms)

    def _send(self, now_ms: int) -> None:
        assert self._link is not None
        self._said, self._said_ms = self._saying, now_ms
        self._link.command("CFG.PAIR", "SAY", self._saying.pack(), answer=self._told)

    def _told(self, value: Value) -> None:
        """How the peer stands; an error of one whose writer starts anew says nothing."""
        if isinstance(value, bytes) and self._listener is not None:
            try:
                self._listener.hear(read_saying(value), self._monotonic_ms())
            except ValueError as error:
                if self._link is not None:
                    self._link.close(f"it says what can't be read: {error}"[:REASON_CHARACTERS_MAX])
            self._heard()

    def _refused(self, reason: str, word: str) -> None:
        if word == LOADING and self._listener is not None:
            self._listener.busy(self._monotonic_ms())
            self._forget(reason)
            self._heard()
        else:
            self._broken(reason)

    def _broken(self, reason: str) -> None:
        self._gone(reason, self._monotonic_ms())

    def _gone(self, reason: str, now_ms: int) -> None:
        was_joined = self.is_joined
        self._forget(reason)
        if was_joined:
            self._next_ms = now_ms
        if self._listener is not None:
            self._listener.left(now_ms, refuses=reason == REFUSED)
        self._heard()

    def _forget(self, reason: str) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
        self.is_joined, self._said, self.why_not = False, None, reason
        self._next_ms = self._monotonic_ms() + RETRY_MS
        self._is_looking = False


def news_of(saying: Saying) -> Saying:
    """What of it is worth saying at once: revisions go on all the time."""
    return replace(saying, revision=0)
