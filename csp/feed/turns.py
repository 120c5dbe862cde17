"""Says which server is tried next, and after how long, as the master's Application spaces attempts.

Pure: no socket, no clock.

1. Where its `serverInfo` states `attempts` or `timeout`, one server is tried so often, so far
   apart; then comes the next one, and behind the last the first again (CfgServer). The first is
   the one that the link was at when it broke.
2. Where neither is stated all are tried in one go, and the pauses between goes grow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from csp.feed.route import Route

TIMEOUT_S_MAX: Final = 600  # more is taken for this: a link is not given up for longer
ATTEMPTS_MAX: Final = 100


class Spacing(NamedTuple):
    """How one server is tried before the next one is."""

    attempts: int = 0
    timeout_s: int = 0

    @property
    def is_stated(self) -> bool:
        """Whether the Application says anything."""
        return self.attempts > 0 or self.timeout_s > 0


ALL_AT_ONCE: Final = Spacing()


def spacing_in(application: Mapping[str, Any]) -> Spacing:
    """What a server's Application says of those who connect to it."""
    server = application.get("serverInfo") or {}
    attempts, timeout_s = (_number(server.get(name)) for name in ("attempts", "timeout"))
    return Spacing(min(attempts, ATTEMPTS_MAX), min(timeout_s, TIMEOUT_S_MAX))


def _number(stated: object) -> int:
    return stated if isinstance(stated, int) and stated > 0 else 0


class Turns:
    """Whose turn it is."""

    def __init__(self) -> None:
        self.spacing = ALL_AT_ONCE
        self._first: tuple[int, bool] | None = None  # the server at which the link was
        self._failed = 0  # attempts since then

    def pick(self, routes: Sequence[Route]) -> Sequence[Route]:
        """Of all ways those of this attempt."""
        if not self.spacing.is_stated:
            return routes
        servers = list(dict.fromkeys(route.server for route in routes))
        first = servers.index(self._first) if self._first in servers else 0
        turn = self._failed // max(self.spacing.attempts, 1)
        one = servers[(first + turn) % len(servers)]
        return [route for route in routes if route.server == one]

    def failed(self) -> None:
        """This attempt brought no link up."""
        self._failed += 1

    def linked(self, route: Route) -> None:
        """There is a link: when it breaks, this server is tried first."""
        self._first, self._failed = route.server, 0

    @property
    def delay_ms(self) -> int | None:
        """The pause before the next attempt; None: the usual one, as none is stated, or a link was
        there meanwhile: who is served for a moment and then refused does not come at once.
        """
        return self.spacing.timeout_s * 1_000 if self._failed and self.spacing.timeout_s else None
