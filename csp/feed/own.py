"""Reads what this proxy's own Application says of its links, from the store as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from csp.feed.turns import ALL_AT_ONCE, Spacing, spacing_in
from csp.process.application import Finder, application_of
from csp.process.connections import CONNECTIONS, Listed, connections_up, servers_above
from csp.process.keepalive import Keepalive, keepalive_in
from csp.store.segment import SegmentMissing


class Own:
    """The Application of one proxy."""

    def __init__(self, name: str, reader: Callable[[], Finder | None]) -> None:
        """`reader`: the newest published state; None before the first load."""
        self._name = name
        self._reader = reader

    def keepalive(self) -> Keepalive | None:
        """How long either end of a link may be silent; None where nothing is known."""
        own = self._read()
        if own is None:
            return None
        return keepalive_in({CONNECTIONS: [one for one, _ in connections_up(*own)]})

    def spacing(self) -> Spacing:
        """How attempts are spaced at the server that the first connection leads to."""
        own = self._read()
        first = None if own is None else next(iter(connections_up(*own)), None)
        return ALL_AT_ONCE if first is None else spacing_in(first[1])

    def listed(self, *, secured: bool) -> Sequence[Listed]:
        """The servers that its connections lead to; `secured`: links speak TLS."""
        own = self._read()
        return servers_above(*own, secured=secured) if own is not None else ()

    def _read(self) -> tuple[Finder, dict[str, Any]] | None:
        try:
            reader = self._reader()
        except SegmentMissing:  # its name has gone: another generation is on its way
            return None
        found = application_of(reader, self._name) if reader is not None else b""
        return (reader, orjson.loads(found)) if reader is not None and found else None
