"""Says how far each server of a run has come, and waits until they are level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import redis

from tests.neighbours.server import Server
from tests.neighbours.waiting import wait_until

LEVEL_SECONDS_MAX = 60.0  # for a half-open feed to be noticed, given up and made anew


class Levels(ABC):
    """The servers of a run, by name."""

    servers: dict[str, Server]

    @abstractmethod
    def status(self, name: str) -> dict[str, Any]:
        """CFG.STATUS of a server."""

    def revisions(self) -> dict[str, int]:
        """What each server has published; -1 where it does not answer."""
        found = {}
        for name in self.servers:
            try:
                found[name] = int(self.status(name)["revision"])
            except (redis.RedisError, OSError):
                found[name] = -1
        return found

    def wait_level(self, within: float = LEVEL_SECONDS_MAX) -> int:
        """Waits until all have what the master has; the revision."""

        def is_level() -> int:
            revisions = self.revisions()
            return max(revisions.values()) if len(set(revisions.values())) == 1 else 0

        try:
            return wait_until(is_level, within)
        except AssertionError:
            raise AssertionError(f"not level within {within} s: {self.revisions()}") from None

    def wait_reached(self, revision: int, within: float = LEVEL_SECONDS_MAX) -> None:
        """Waits until every server has come so far."""
        try:
            wait_until(lambda: min(self.revisions().values()) >= revision, within)
        except AssertionError:
            raise AssertionError(
                f"not at {revision} within {within} s: {self.revisions()}"
            ) from None

    def generations(self) -> dict[str, Any]:
        """What tells whether a server loaded anew."""
        return {name: self.status(name)["generation"] for name in self.servers}
