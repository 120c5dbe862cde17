"""Remembers what the master was last heard to have, and shows it beside the state of the link."""

from __future__ import annotations

from csp.observe.clock import wall_ms
from csp.process.origin import StoreForOrigin
from csp.store.control import LINK_DOWN, LINK_STALE, LINK_UP


class Heard:
    """The master's revision, and the time of the root, through a chain of proxies."""

    def __init__(self, host: StoreForOrigin) -> None:
        self._host = host
        self._revision = host.published if host.loaded else 0
        # What a predecessor was told holds: an age may grow, but not jump back to the last change.
        self._time_ms = max(host.time_ms, host.heard_ms) if host.loaded else 0
        self._root_revision = 0  # as a proxy above tells it, which may be behind
        self._is_root_there = True

    def revision(self, revision: int) -> None:
        """The master has this revision; of when, it has not said."""
        self._revision = max(revision, self._host.published)

    def state(self, revision: int, time_ms: int) -> None:
        """The master had this revision at this time, milliseconds UTC."""
        self.revision(revision)
        # A time of the future would stand for good, and hide that nothing is heard any more.
        self._time_ms = max(self._time_ms, min(time_ms, wall_ms()))

    def root(self, revision: int, *, is_there: bool) -> None:
        """What the server above knows of the root."""
        self._root_revision = revision
        self._is_root_there = is_there

    @property
    def is_root_there(self) -> bool:
        """Whether the server above reaches the root, as far as it says."""
        return self._is_root_there

    def show_up(self) -> None:
        """The link is there, and this came through it."""
        newest = max(self._revision, self._root_revision)
        state = LINK_UP if self._is_root_there else LINK_STALE
        self._host.set_link(state, newest, self._time_ms)

    def show_down(self) -> None:
        """The link is not there."""
        newest = max(self._revision, self._root_revision)
        self._root_revision, self._is_root_there = 0, True  # as far as the next one says
        self._revision = newest
        self._host.set_link(LINK_DOWN, newest, self._time_ms)
