"""Tells which half of a pair serves now, and where: clients of Redis ask for masters and replicas.

1. Who serves, the control segment says (csp/process/standing.py); a server without a pair is the
   half that serves, as long as it does.
2. Where a half is, its Application says: the IPaddress of its Host, or that one's name. What is not
   loaded yet, or names no Host, is where this server is bound, and what was heard of the peer.
3. A port is told to who can come by it, as in csp/worker/backup.py; where none fits, 0 is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from csp.process.application import APPLICATION, host_of
from csp.process.places import port_for_clients, ports_of
from csp.process.ports import Port
from csp.process.standing import ROLE_BACKUP, Standing, shown
from csp.store.control import LINK_DATABASE, LINK_UP, link_now
from csp.worker.backup import object_of
from csp.worker.call import Call, Lane

ALL_ADDRESSES = ("0.0.0.0", "::", "")
THERE = ("serving", "ready", "behind")  # states of a peer of which something is heard


@dataclass(frozen=True)
class Half:
    """One server of a pair, or a single one."""

    name: str  # of its Application
    host: str  # an address, or the name of its Host; empty: unknown
    port: int  # that is for all clients; 0: unknown
    is_serving: bool
    is_there: bool  # whether it is heard
    is_ready: bool  # whether it has all that was published, and could serve at once
    ports: tuple[Port, ...] = ()  # of it, the numbers alone where it is the peer's

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, as clients of Redis are told them."""
        return self.host, self.port


@dataclass(frozen=True)
class Halves:
    """A pair as this half of it knows it; without a peer it is a single server."""

    own: Half
    peer: Half | None

    @property
    def serving(self) -> Half:
        """The one that serves; where neither does, the one that did last as far as is known."""
        return self.own if self.own.is_serving or self.peer is None else self.peer


def halves_of(lane: Lane, *, is_secured: bool) -> Halves:
    """Both, with the ports that a client reaches who speaks TLS, or who does not."""
    standing = shown(lane.control)
    return Halves(_own(lane, is_secured), _peer(lane, standing, is_secured))


def serving_address(call: Call) -> tuple[str, int]:
    """Where the half is that serves, for the client who asks."""
    return halves_of(call.lane, is_secured=bool(call.session.secured)).serving.address


def replicas(call: Call) -> list[Half]:
    """Who stands by for this half, as long as it is heard: one at most."""
    peer = halves_of(call.lane, is_secured=bool(call.session.secured)).peer
    return [peer] if peer is not None and peer.is_there and not peer.is_serving else []


def is_serving(lane: Lane) -> bool:
    """Whether clients are served here: a pair's backup stands by, and so does who is starting."""
    return lane.control.role != ROLE_BACKUP and lane.control.serving


def is_followed(lane: Lane) -> bool:
    """Whether this server hears what it follows: its master, or the database of a master."""
    link = link_now(lane.control)[0]
    return link == LINK_UP or (link == LINK_DATABASE and lane.info.mode == "master")


def _own(lane: Lane, is_secured: bool) -> Half:
    bound = lane.info.address.rpartition(":")[0].strip("[]")
    application: Mapping[str, Any] = {}
    if not lane.loading:
        application = lane.applications.named(lane.reader, lane.info.app_name) or {}
    host = _host_of(lane, application) or (lane.info.host if bound in ALL_ADDRESSES else bound)
    port = _number(lane.info.ports, is_secured) or (0 if lane.info.ports else lane.info.port)
    return Half(lane.info.app_name, host, port, is_serving(lane), True, True, lane.info.ports)


def _peer(lane: Lane, standing: Standing, is_secured: bool) -> Half | None:
    if not standing.peer:
        return None
    application: Mapping[str, Any] = {}
    if not lane.loading:
        application = object_of(lane, APPLICATION.id, standing.peer_dbid)
    ports = tuple(ports_of(application)) if application else ()
    said, _, digits = standing.peer_address.rpartition(":")
    host = _host_of(lane, application) or said.strip("[]")
    port = _number(ports, is_secured) or (int(digits) if digits.isdecimal() else 0)
    state = standing.peer_state
    is_serving_ = state == "serving"
    is_ready = is_serving_ or state == "ready"
    return Half(standing.peer, host, port, is_serving_, state in THERE, is_ready, ports)


def _host_of(lane: Lane, application: Mapping[str, Any]) -> str:
    host = {} if lane.loading else host_of(lane.reader, application)
    return str(host.get("IPaddress") or host.get("name") or "")


def _number(ports: Sequence[Port], is_secured: bool) -> int:
    """The number of the port that a client is told; 0: there is none for it."""
    port = port_for_clients(ports, secured=is_secured)
    return port.tcp if port is not None else 0
