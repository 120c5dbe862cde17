"""Knows the servers that a proxy may follow: its master, and that one's backup once it is told.

1. The master says at CFG.REGISTER where its backup listens: anyhow, and by the port that has the
   same id as the one that was come by. Which of the two counts is the option
   `consistent-port-selection`, at the next connect.
2. What was said last is kept in the state folder: a proxy that starts while its master is away
   finds the backup too.
3. The backup comes behind all the master's addresses, and is connected to in the same way.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from csp.client.address import Address, parse_address
from csp.feed.route import Route
from csp.observe.events import log_event
from csp.process.context import Upstream
from csp.process.files import write_whole
from csp.process.lookup import Endpoint, Lookup, LookupFailed
from csp.resp import Value

FILE = "above.json"
FIELDS = ("backup", "backup_port")  # of the reply to CFG.REGISTER

log = logging.getLogger("csp.feed")


class Above:
    """Where the links of one proxy may lead."""

    def __init__(self, upstream: Upstream, folder: str) -> None:
        self.is_same_port = False  # the backup's port is to have the same id
        self._upstream = upstream
        self._master = Lookup(upstream.host, upstream.port)
        self._file = Path(folder) / FILE if folder else None
        self._told: dict[str, str] = self._kept()
        self._backup: tuple[Address, Lookup] | None = None

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
            return
        if self._backup is None or self._backup[0] != place:
            self._backup = place, Lookup(*place)
        self._backup[1].begin(now_ms)

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
        if not routes:
            raise why or LookupFailed(f"the address of {up.host} is not known")
        return routes

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

    def learn(self, told: Value) -> None:
        """Takes what the master says of its backup."""
        found = dict.fromkeys(FIELDS, "")
        for name, value in _fields(told).items():
            if name in found and isinstance(value, bytes | str):
                found[name] = (
                    value.decode("utf-8", "replace") if isinstance(value, bytes) else value
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


def _fields(told: Value) -> Mapping[str, Any]:
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
