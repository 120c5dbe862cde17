"""Brings one link to the master up: at all its addresses in turn, and beside one that is silent.

1. The first link that is signed in is the one; all others are closed.
2. An address that refuses is left for the next at once; one that says nothing to a connect gets
   company after CONNECT_MS, one that is connected and silent after ANSWER_MS. So an address that
   is dead, or a balancer whose server is, costs that long and not the whole patience. Beside a
   server that is silent the next one is tried after BACKUP_MS.
3. It fails when all addresses were tried and no link is under way: once, with each one's reason.
   A refusal of the sign-in is told as such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from csp.feed.link import Link, LinkState
from csp.feed.route import Route
from csp.process.polling import Descriptor

CONNECT_MS = 500  # a live host answers a connect within that, wherever it stands
BACKUP_MS = 2_000  # of silence before the master's backup, or a further server, is tried beside it
ANSWER_MS = 10_000  # a master that verifies a thousand passwords at once may need it
LINKS_MAX = 3  # side by side


@dataclass(frozen=True)
class Heeded:
    """Whom a link tells of its life until it is the one."""

    ready: Callable[[], None]
    broken: Callable[[str], None]
    refused: Callable[[str, str], None]


MakeLink = Callable[[Route, int, Heeded], Link]


class Dial:
    """The attempts to bring one link up."""

    def __init__(
        self,
        routes: Sequence[Route],
        make: MakeLink,
        now_ms: int,
        *,
        on_ready: Callable[[Link], None],
        on_broken: Callable[[str], None],
        on_refused: Callable[[str, str], None],
    ) -> None:
        """`on_broken` and `on_refused` are the link's own, once it is the one."""
        self.link: Link | None = None  # the one
        self._routes = routes
        self._make = make
        self._on_ready = on_ready
        self._on_broken = on_broken
        self._on_refused = on_refused
        self._links: dict[int, Link] = {}  # under way, by the number of the attempt
        self._began_ms: dict[int, int] = {}
        self._why: dict[str, str] = {}  # by address
        self._refusal = ""  # its word
        self._tried = 0
        self._is_over = False
        self._next(now_ms)

    def descriptors(self) -> list[Descriptor]:
        """The links' sockets."""
        found = [link.watch() for link in self._all()]
        return [one for one in found if one is not None]

    def tick(self, now_ms: int) -> None:
        """Gives up what takes too long, and begins beside what is silent."""
        for link in self._all():
            link.tick(now_ms)
        if self.link is not None or self._is_over:
            return
        if self._links:
            self._join_silent(now_ms)
        elif self._tried < len(self._routes):
            self._next(now_ms)
        else:
            self._fail()

    def close(self) -> None:
        """Ends all."""
        self._is_over = True
        for link in self._all():
            link.close()
        self._links.clear()

    def _all(self) -> list[Link]:
        return [self.link] if self.link is not None else list(self._links.values())

    def _next(self, now_ms: int) -> None:
        """Begins at the next address; behind the last the first comes again."""
        number = self._tried
        route = self._routes[number % len(self._routes)]
        self._tried += 1
        heeded = Heeded(
            ready=lambda: self._ready(number),
            broken=lambda reason: self._broken(number, route, reason),
            refused=lambda reason, word: self._refused(number, route, reason, word),
        )
        self._links[number] = self._make(route, now_ms, heeded)
        self._began_ms[number] = now_ms

    def _join_silent(self, now_ms: int) -> None:
        newest = max(self._links)
        waited_ms = now_ms - self._began_ms[newest]
        is_connecting = self._links[newest].state is LinkState.CONNECTING
        is_new = self._tried < len(self._routes)
        if waited_ms < (self._connect_ms() if is_connecting and is_new else ANSWER_MS):
            return
        if is_new or len(self._links) < LINKS_MAX:
            self._next(now_ms)

    def _connect_ms(self) -> int:
        """How long an address may say nothing to a connect before the next one is tried."""
        last, following = self._routes[self._tried - 1], self._routes[self._tried]
        return CONNECT_MS if last.server == following.server else BACKUP_MS

    def _ready(self, number: int) -> None:
        self.link = self._links.pop(number)
        for other in self._links.values():
            other.close()
        self._links.clear()
        self._on_ready(self.link)

    def _broken(self, number: int, route: Route, reason: str) -> None:
        if self.link is not None:
            self._on_broken(reason)
            return
        self._links.pop(number, None)
        self._why[str(route)] = reason

    def _refused(self, number: int, route: Route, reason: str, word: str) -> None:
        if self.link is not None:
            self._on_refused(reason, word)
            return
        self._refusal = word
        self._broken(number, route, reason)

    def _fail(self) -> None:
        self._is_over = True
        if len(self._routes) == 1:
            reason = next(iter(self._why.values()))
        else:
            reason = "; ".join(f"{address}: {why}" for address, why in self._why.items())
        if self._refusal:
            self._on_refused(reason, self._refusal)
        else:
            self._on_broken(reason)
