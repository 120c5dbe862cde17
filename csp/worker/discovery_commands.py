"""Answers what comes by a port for discovery: SENTINEL, and what is another there than elsewhere.

1. Replies have the shapes of Redis Sentinel, so that its clients find here what they look for.
2. Whatever else may be called there (`discovery` in csp/tables/commands.toml) is answered as at any
   other port.
"""

from __future__ import annotations

from csp.errors import CspError
from csp.resp.encode import PONG, bulk, error, integer, null, null_array, push
from csp.resp.values import Simple, Value, Verbatim
from csp.tables.commands import SUBCOMMANDS
from csp.worker.call import Call, Handler
from csp.worker.discovery import Places, id_of, places_of
from csp.worker.halves import Half
from csp.worker.info import server
from csp.worker.purposes import is_for_discovery
from csp.worker.refusal import text_of, wrong_arity

NO_SUCH = "No such master with that name"
PARENT = "SENTINEL"
DOWN_AFTER_MS = 1_000  # what is told of it: csp's own terms are those of the pair
UNKNOWN = 0  # figures of a Sentinel's bookkeeping that has no like here


def handler_at(call: Call) -> Handler | None:
    """Who answers where the port is for discovery and the answer is another there."""
    handler = AT_DISCOVERY.get(call.name)
    return handler if handler is not None and is_for_discovery(call) else None


def _places(call: Call) -> Places:
    return places_of(call.lane, is_secured=bool(call.session.secured))


def _named(call: Call) -> tuple[str, Places]:
    """The name that is asked for, and what is told under it; raises CspError."""
    name, places = text_of(call.args[2]), _places(call)
    if name not in places.names:
        raise CspError(NO_SUCH)
    return name, places


def _masters(call: Call) -> bytes:
    """SENTINEL MASTERS"""
    places = _places(call)
    return call.encode([_master_row(name, places) for name in places.names])


def _master(call: Call) -> bytes:
    """SENTINEL MASTER name"""
    return call.encode(_master_row(*_named(call)))


def _replicas(call: Call) -> bytes:
    """SENTINEL REPLICAS name, SENTINEL SLAVES name"""
    _, places = _named(call)
    replica = places.replica
    return call.encode([] if replica is None else [_replica_row(replica, places.master)])


def _sentinels(call: Call) -> bytes:
    """SENTINEL SENTINELS name: the other half's port for discovery."""
    _, places = _named(call)
    peer, port = places.halves.peer, places.other_port
    if peer is None or port is None:
        return call.encode([])
    flags = "sentinel" if peer.is_there else "s_down,sentinel,disconnected"
    id_ = id_of(peer.name)
    row = {**_row(id_, peer.host, port.tcp, id_, flags), "voted-leader": "?"}
    return call.encode([row | {"voted-leader-epoch": "0", "last-hello-message": "0"}])


def _address(call: Call) -> bytes:
    """SENTINEL GET-MASTER-ADDR-BY-NAME name"""
    places = _places(call)
    host, port = places.master.address
    if text_of(call.args[2]) not in places.names or not host or not port:
        return null_array(call.proto)
    return call.encode([host, str(port)])


def _quorum(call: Call) -> bytes:
    """SENTINEL CKQUORUM name"""
    _, places = _named(call)
    if not places.is_served:
        return error("NOQUORUM neither half of the pair serves now, as far as this one knows")
    count = 1 + (places.other_port is not None and places.halves.peer is not None)
    text = f"OK {count} usable Sentinels. Quorum and failover authorization can be reached"
    return call.encode(Simple(text))


def _my_id(call: Call) -> bytes:
    """SENTINEL MYID"""
    return bulk(id_of(call.lane.info.app_name).encode())


def _help(call: Call) -> bytes:
    """SENTINEL HELP"""
    lines = [f"{PARENT} <subcommand> [<arg> ...]. Subcommands are:"]
    for name, part in SUBCOMMANDS[PARENT].items():
        lines += [f"{name} {part.syntax}".rstrip(), f"    {part.summary}"]
    return call.encode([Simple(line) for line in lines])


def _row(name: str, host: str, port: int, id_: str, flags: str) -> dict[Value, Value]:
    """What all rows begin with; figures are text, as in Redis."""
    zeros = ("link-pending-commands", "last-ping-sent", "last-ok-ping-reply", "last-ping-reply")
    return {
        "name": name,
        "ip": host,
        "port": str(port),
        "runid": id_,
        "flags": flags,
        "link-refcount": "1",
        **dict.fromkeys(zeros, str(UNKNOWN)),
        "down-after-milliseconds": str(DOWN_AFTER_MS),
    }


def _master_row(name: str, places: Places) -> dict[Value, Value]:
    master = places.master
    flags = "master" if places.is_served else "s_down,o_down,master"
    return _row(name, *master.address, id_of(master.name), flags) | {
        **{"info-refresh": "0", "role-reported": "master", "role-reported-time": "0"},
        "config-epoch": "0",
        "num-slaves": str(int(places.replica is not None)),
        "num-other-sentinels": str(int(places.other_port is not None)),
        **{"quorum": "1", "failover-timeout": "0", "parallel-syncs": "1"},
    }


def _replica_row(replica: Half, master: Half) -> dict[Value, Value]:
    flags = "slave" if replica.is_there else "s_down,slave,disconnected"
    shown = f"[{replica.host}]" if ":" in replica.host else replica.host
    name = f"{shown}:{replica.port}"
    return _row(name, *replica.address, id_of(replica.name), flags) | {
        **{"info-refresh": "0", "role-reported": "slave", "role-reported-time": "0"},
        "master-link-down-time": "0",
        "master-link-status": "ok" if replica.is_ready else "err",
        **{"master-host": master.host, "master-port": str(master.port)},
        **{"slave-priority": "100", "slave-repl-offset": "0"},
    }


# ---- what is another at such a port


def _ping(call: Call) -> bytes:
    """PING [message]; in RESP2 a subscriber gets an array, as in Redis."""
    if len(call.args) > 2:
        raise wrong_arity("ping")
    message = call.args[1] if len(call.args) == 2 else None
    if call.proto == 2 and len(call.lane.discovery.listener(call.conn)):
        return push((bulk(b"pong"), bulk(message or b"")), call.proto)
    return PONG if message is None else bulk(message)


def _role(call: Call) -> bytes:
    """ROLE: a sentinel, with the names that it knows."""
    return call.encode(["sentinel", list[Value](_places(call).names)])


def _info(call: Call) -> bytes:
    """INFO: what clients look for, and nothing of how this server is."""
    places = _places(call)
    rows = server(call) | {"redis_mode": "sentinel"}
    lines = ["# Server", *(f"{name}:{value}" for name, value in rows.items()), ""]
    lines += [
        "# Sentinel",
        f"sentinel_masters:{len(places.names)}",
        "sentinel_tilt:0",
        "sentinel_running_scripts:0",
    ]
    status = "ok" if places.is_served else "sdown"
    slaves, sentinels = int(places.replica is not None), 1 + int(places.other_port is not None)
    host, port = places.master.address
    lines += [
        f"master{at}:name={name},status={status},address={host}:{port},"
        f"slaves={slaves},sentinels={sentinels}"
        for at, name in enumerate(places.names)
    ]
    return call.encode(Verbatim("txt", "".join(f"{line}\r\n" for line in lines).encode()))


def _subscribe(call: Call) -> bytes:
    return _subscriptions(call, b"subscribe", is_pattern=False)


def _psubscribe(call: Call) -> bytes:
    return _subscriptions(call, b"psubscribe", is_pattern=True)


def _subscriptions(call: Call, verb: bytes, *, is_pattern: bool) -> bytes:
    """A confirmation of each; where one is refused, those before it are there."""
    found: list[bytes] = []
    for name in call.args[1:]:
        count = call.lane.discovery.subscribe(call.conn, name, is_pattern=is_pattern)
        found.append(push((bulk(verb), bulk(name), integer(count)), call.proto))
    return b"".join(found)


def _unsubscribe(call: Call) -> bytes:
    return _unsubscriptions(call, b"unsubscribe", is_pattern=False)


def _punsubscribe(call: Call) -> bytes:
    return _unsubscriptions(call, b"punsubscribe", is_pattern=True)


def _unsubscriptions(call: Call, verb: bytes, *, is_pattern: bool) -> bytes:
    """A confirmation of each, without names of all; where there is none, one of no name."""
    discovery, conn = call.lane.discovery, call.conn
    listener = discovery.listener(conn)
    names = call.args[1:] or list(listener.patterns if is_pattern else listener.channels)
    if not names:
        return push((bulk(verb), null(call.proto), integer(len(listener))), call.proto)
    found: list[bytes] = []
    for name in names:
        count = discovery.unsubscribe(conn, name, is_pattern=is_pattern)
        found.append(push((bulk(verb), bulk(name), integer(count)), call.proto))
    return b"".join(found)


HANDLERS: dict[str, Handler] = {
    "sentinel|masters": _masters,
    "sentinel|master": _master,
    "sentinel|replicas": _replicas,
    "sentinel|slaves": _replicas,
    "sentinel|sentinels": _sentinels,
    "sentinel|get-master-addr-by-name": _address,
    "sentinel|ckquorum": _quorum,
    "sentinel|myid": _my_id,
    "sentinel|help": _help,
}
AT_DISCOVERY: dict[str, Handler] = {
    "ping": _ping,
    "role": _role,
    "info": _info,
    "subscribe": _subscribe,
    "psubscribe": _psubscribe,
    "unsubscribe": _unsubscribe,
    "punsubscribe": _punsubscribe,
}
