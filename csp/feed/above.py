"""Knows the servers that a proxy may follow: its master, that one's backup, and further ones.

1. The master says at CFG.REGISTER where its backup listens: anyhow, and by the port that has the
   same id as the one that was come by. Which of the two counts is the option
   `consistent-port-selection`, at the next connect.
2. What was said last is kept in the state folder: a proxy that starts while its master is away
   finds the backup too.
3. The backup comes behind all the master's addresses, and is connected to in the same way.
4. Behind both come the servers of the connections in the proxy's Application, in their order, but
   for the one that the master's address leads to: it says who it is. A way's rank says which
   server it leads to: 0 is the master, with its backup.
   Whose turn it is where attempts are spaced, `turns` says.
5. A server that has refused the proxy is tried last for AVOIDED_MS: the next one may take it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from csp.client.address import Address, parse_address
from csp.feed.route import Route
from csp.feed.turns import Turns
from csp.observe.events import log_event
from csp.process.connections import Listed
from csp.process.context import Upstream
from csp.process.files import write_whole
from csp.process.lookup import Endpoint, Lookup, LookupFailed
from csp.resp import Value

FILE = "above.json"
FIELDS = ("backup", "backup_port", "server_dbid")  # of the reply to CFG.REGISTER
FURTHER_MAX: Final = 16  # servers of the Application's connections: more are not tried
LOOKED_UP_MS: Final = 10_000  # a further server's name is looked up anew behind that
AVOIDED_MS: Final = 60_000

log = logging.getLogger("csp.feed")


@dataclass(eq=False)
class _Target:
    """A further server, and the look-up of its name."""

    host: str
    lookup: Lookup
    asked_ms: int

    def routes(self, way: Route, now_ms: int) -> list[Route]:
        """By each address that is known now."""
        try:
            endpoints = self.lookup.take(now_ms) or ()
        except LookupFailed:
            return []
        return [replace(way, endpoint=one, host=self.host) for one in endpoints]


class Above:
    """Where the links of one proxy may lead."""

    def __init__(
        self,
        upstream: Upstream,
        folder: str,
        listed: Callable[[], Sequence[Listed]] = tuple,
    ) -> None:
        """`listed`: the servers that the Application's connections lead to, as it is now."""
        self.turns = Turns()
        self.is_same_port = False  # the backup's port is to have the same id
        self._upstream = upstream
        self._master = Lookup(upstream.host, upstream.port)
        self._file = Path(folder) / FILE if folder else None
        self._told: dict[str, str] = self._kept()
        self._backup: tuple[Address, Lookup] | None = None
        self._listed = listed
        self.to_peer: Callable[[], Sequence[Route]] = lambda: ()  # to the other half of a pair
        self._further: dict[Address, _Target] = {}
        self._avoided: dict[int, int] = {}  # by rank: until when

    def use(self, upstream: Upstream) -> None:
        """Who signs in, and how, from now on."""
        self._upstream = upstream

    def begin(self, now_ms: int) -> None:
        """Looks all names up."""
        self._master.begin(now_ms)
        told = self._told.get("backup_port" if self.is_same_port else "backup") or self._told.get(
            "backup", ""
        )
        place = _place(told)
        if place is None or place == (self._upstream.host, self._upstream.port):
            self._backup = None
        else:
            if self._backup is None or self._backup[0] != place:
                self._backup = place, Lookup(*place)
            self._backup[1].begin(now_ms)
        self._begin_further(now_ms)

    def take(self, now_ms: int) -> Sequence[Route] | None:
        """The ways up in the order in which to try them; None while the master's are not known.

        Raises LookupFailed where there is none.
        """
        why: LookupFailed | None = None
        endpoints: Sequence[Endpoint] | None = ()
        try:
            endpoints = self._master.take(now_ms)
        except LookupFailed as error:
            why = error
        if endpoints is None:
            return None
        up = self._upstream
        routes = [Route(one, up.host, up.tls, up.source) for one in endpoints]
        routes += self._to_backup(now_ms)
        routes += self._to_further(now_ms)
        routes += self.to_peer()
        if not routes:
            raise why or LookupFailed(f"the address of {up.host} is not known")
        self._avoided = {rank: until for rank, until in self._avoided.items() if now_ms < until}
        return sorted(routes, key=lambda route: route.rank in self._avoided)

    def better_than(self, route: Route, now_ms: int) -> list[Route]:
        """The ways to servers that are preferred to the one at the end of this way.

        Raises LookupFailed where nothing is known.
        """
        routes = self.take(now_ms) or ()
        same = (one.rank for one in routes if one.endpoint == route.endpoint)
        rank = next(same, len(self._further) + 1)  # it is not in the list any more: all are better
        is_server = [one for one in routes if not (one.to_backup or one.to_peer)]
        return [one for one in is_server if one.rank < rank]

    def avoid(self, rank: int, now_ms: int) -> None:
        """This server has refused the proxy: the others are tried before it for a while."""
        self._avoided[rank] = now_ms + AVOIDED_MS

    def _to_backup(self, now_ms: int) -> list[Route]:
        if self._backup is None:
            return []
        place, lookup = self._backup
        up = self._upstream
        try:
            endpoints = lookup.take(now_ms) or ()
        except LookupFailed:
            return []
        return [Route(one, place.host, up.tls, up.source, to_backup=True) for one in endpoints]

    # The servers of the Application's connections.

    def _begin_further(self, now_ms: int) -> None:
        """Their names are looked up beside everything else: no attempt waits for them."""
        master = (self._upstream.host, self._upstream.port)
        places = [
            place
            for one in self._listed()
            if str(one.dbid) != self._told.get("server_dbid") and (place := _place(one.address))
        ]
        known, self._further = self._further, {}
        for place in places[:FURTHER_MAX]:
            if place == master or place in self._further:
                continue
            target = known.get(place)
            if target is None or now_ms - target.asked_ms >= LOOKED_UP_MS:
                lookup = target.lookup if target is not None else Lookup(*place)
                lookup.begin(now_ms)
                target = _Target(place.host, lookup, now_ms)
            self._further[place] = target

    def _to_further(self, now_ms: int) -> list[Route]:
        up, found = self._upstream, []
        for rank, target in enumerate(self._further.values(), 1):
            way = Route(NO_ENDPOINT, "", up.tls, up.source, rank=rank)
            found += target.routes(way, now_ms)
        return found

    # What the master says.

    def learn(self, told: Value) -> None:
        """Takes what the master says of its backup, and who it is itself."""
        found = dict.fromkeys(FIELDS, "")
        for name, value in fields_of(told).items():
            if name in found and isinstance(value, bytes | str | int):
                found[name] = (
                    value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                )
        if found == self._told:
            return
        self._told = found
        self._keep()

    def _kept(self) -> dict[str, str]:
        if self._file is None:
            return {}
        try:
            found: Any = json.loads(self._file.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        except OSError as error:
            log_event(log, "51339", path=self._file, reason=error.strerror or error)
            return {}
        if not isinstance(found, Mapping):
            return {}
        return {name: str(found.get(name, "")) for name in FIELDS}

    def _keep(self) -> None:
        """Writes it down, whole or not at all; who can't goes on with what is in memory."""
        if self._file is None:
            return
        try:
            write_whole(self._file, json.dumps(self._told))
        except OSError as error:
            log_event(log, "51339", path=self._file, reason=error.strerror or error)


NO_ENDPOINT: Final = Endpoint(0, ("", 0))


def fields_of(told: Value) -> Mapping[str, Any]:
    """The reply to CFG.REGISTER by names, as it comes in RESP2 or RESP3."""
    pairs: Any = told
    if isinstance(told, list):
        pairs = dict(zip(told[::2], told[1::2], strict=False))
    if not isinstance(pairs, Mapping):
        return {}
    return {
        name.decode("ascii", "replace") if isinstance(name, bytes) else str(name): value
        for name, value in pairs.items()
    }


def _place(text: str) -> Address | None:
    """Host and port of HOST:PORT; None where it is no such thing."""
    try:
        return parse_address(text)
    except ValueError:
        return None
