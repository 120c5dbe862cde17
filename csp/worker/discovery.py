"""Tells clients of Redis Sentinel where to go, and publishes when that changes (`sentinel=1`).

1. What is told is no secret of the configuration: names of the pair, addresses and ports of its two
   halves, and who serves. So nobody signs in for it; nothing else is told (loop/refuse.pxi).
2. Each half answers for itself, by what its own standing says: there is no vote. A half that serves
   names itself, one that stands by its peer; where neither serves, the one that did last.
3. Subscriptions of these ports are their own: a pattern here never hears of configuration.
4. Standing is looked at each WATCH_MS, and only while somebody has subscribed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from csp.errors import TooBig
from csp.model.redundancy import cluster_of
from csp.process.application import APPLICATION, dbid_of
from csp.process.ports import Port, Purpose
from csp.resp.encode import bulk, push
from csp.worker.backup import object_of
from csp.worker.call import Lane
from csp.worker.glob import Match, compile_glob
from csp.worker.halves import Half, Halves, halves_of

WATCH_MS = 100  # so late may be what is published
CHANNELS_MAX = 64  # of one connection, patterns among them
CHANNEL_BYTES_MAX = 128
ON_CLOSE = "discovery"  # the purpose under which an end is noted

Message = tuple[bytes, str]  # channel, text


@dataclass(frozen=True)
class Places:
    """What is told under each name, and of what it was made."""

    names: tuple[str, ...]
    halves: Halves
    is_served: bool  # whether some half serves

    @property
    def master(self) -> Half:
        """Where clients are to go."""
        return self.halves.serving

    @property
    def replica(self) -> Half | None:
        """The one that stands by, wherever it is; None where there is no pair."""
        own, peer = self.halves.own, self.halves.peer
        return None if peer is None else (peer if self.master is own else own)

    @property
    def other_port(self) -> Port | None:
        """The port for discovery of the other half."""
        return sentinel_port(self.halves.peer.ports) if self.halves.peer else None


def places_of(lane: Lane, *, is_secured: bool) -> Places:
    """As it is now, for a client who speaks TLS, or does not."""
    halves = halves_of(lane, is_secured=is_secured)
    names = [lane.info.app_name, halves.peer.name if halves.peer else "", _cluster(lane)]
    served = halves.own.is_serving or (halves.peer is not None and halves.peer.is_serving)
    return Places(tuple(dict.fromkeys(name for name in names if name)), halves, served)


def sentinel_port(ports: tuple[Port, ...]) -> Port | None:
    """The port for discovery among these; None: there is none."""
    return next((one for one in ports if one.purpose is Purpose.SENTINEL and one.tcp), None)


def id_of(name: str) -> str:
    """40 characters that are a server's, and the same after each start, as Sentinels have them."""
    return blake2b(name.encode(), digest_size=20, person=b"csp discovery").hexdigest()


def _cluster(lane: Lane) -> str:
    """The name of the pool whose member this server is; empty: of none."""
    if lane.loading:
        return ""
    dbid = dbid_of(lane.reader, APPLICATION.name, "name", lane.info.app_name)
    return cluster_of(object_of(lane, APPLICATION.id, dbid))


def news(before: Places, now: Places) -> Iterator[Message]:
    """What Sentinels publish of such a change."""
    for name in now.names:
        if name not in before.names:
            continue
        if before.master.address != now.master.address and now.is_served:
            old, new = _shown(before.master), _shown(now.master)
            yield b"+switch-master", f"{name} {old} {new}"
        elif before.is_served != now.is_served:
            yield _down(now.is_served), f"master {name} {_shown(now.master)}"
        was, is_ = before.replica, now.replica
        if was and is_ and was.is_there != is_.is_there and was.address == is_.address:
            text = f"slave {is_.host}:{is_.port} {_shown(is_)} @ {name} {_shown(now.master)}"
            yield _down(is_.is_there), text


def _down(is_up: bool) -> bytes:
    return b"-sdown" if is_up else b"+sdown"


def _shown(half: Half) -> str:
    return f"{half.host} {half.port}"


@dataclass
class Listener:
    """What one connection has subscribed to."""

    is_secured: bool
    channels: dict[bytes, None] = field(default_factory=dict)
    patterns: dict[bytes, Match] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.channels) + len(self.patterns)

    def frames(self, channel: bytes, text: str, proto: int) -> Iterator[bytes]:
        """The message as this connection gets it: once for each of its subscriptions."""
        body = bulk(text.encode())
        if channel in self.channels:
            yield push((bulk(b"message"), bulk(channel), body), proto)
        for pattern, matches in self.patterns.items():
            if matches(channel):
                yield push((bulk(b"pmessage"), bulk(pattern), bulk(channel), body), proto)


class Discovery:
    """The subscriptions of this worker's ports for discovery."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._listeners: dict[int, Listener] = {}  # by connection
        self._seen: dict[bool, Places] = {}  # by whether it is told to who speaks TLS
        self._is_watching = False

    def listener(self, conn: int) -> Listener:
        """What a connection has subscribed to; to nothing yet, it may be."""
        secured = bool(self._lane.loop.session(conn).secured)
        return self._listeners.get(conn) or Listener(secured)

    def subscribe(self, conn: int, name: bytes, *, is_pattern: bool) -> int:
        """How many subscriptions there are then; raises TooBig."""
        listener = self.listener(conn)
        if len(name) > CHANNEL_BYTES_MAX:
            raise TooBig(f"a channel of {len(name)} bytes: at most {CHANNEL_BYTES_MAX} here")
        if len(listener) >= CHANNELS_MAX:
            raise TooBig(f"a connection may have at most {CHANNELS_MAX} subscriptions here")
        if is_pattern:
            listener.patterns[name] = compile_glob(name)
        else:
            listener.channels[name] = None
        if conn not in self._listeners:
            self._listeners[conn] = listener
            self._lane.loop.session(conn).listening = True
            self._lane.states[conn].on_close[ON_CLOSE] = lambda: self._forget(conn)
            self._watch()
        return len(listener)

    def unsubscribe(self, conn: int, name: bytes, *, is_pattern: bool) -> int:
        """How many are left."""
        listener = self.listener(conn)
        names = listener.patterns if is_pattern else listener.channels
        names.pop(name, None)
        if not len(listener) and conn in self._listeners:
            self._lane.states[conn].on_close.pop(ON_CLOSE)
            self._forget(conn)
        return len(listener)

    def _forget(self, conn: int) -> None:
        self._listeners.pop(conn)
        if conn in self._lane.states:  # it goes on, and asks or goes
            self._lane.loop.session(conn).listening = False

    def _watch(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            self._seen = {is_secured: self._places(is_secured) for is_secured in (False, True)}
            self._lane.loop.call_later(WATCH_MS, self._look)

    def _places(self, is_secured: bool) -> Places:
        return places_of(self._lane, is_secured=is_secured)

    def _look(self) -> None:
        """Publishes what has changed; nobody listens any more: looks no more."""
        if not self._listeners:
            self._is_watching = False
            return
        for is_secured, before in self._seen.items():
            now = self._seen[is_secured] = self._places(is_secured)
            for channel, text in news(before, now) if now != before else ():
                self._publish(channel, text, is_secured)
        self._lane.loop.call_later(WATCH_MS, self._look)

    def _publish(self, channel: bytes, text: str, is_secured: bool) -> None:
        for conn, listener in list(self._listeners.items()):
            if listener.is_secured is is_secured:
                proto = self._lane.loop.session(conn).proto
                for frame in listener.frames(channel, text, proto):
                    self._lane.loop.push(conn, frame)
