"""A loop and a store of dictionaries for the slow lane; a test moves time and sockets by hand."""

from __future__ import annotations

import heapq
import itertools
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csp._fastpath import TlsContext, judge_for
from csp.model.rights import ALL
from csp.process.roles import AUTH, READING, WRITER
from csp.resp import Decoder, Value, request
from csp.tables.metrics import NAMES
from csp.tables.options import Network
from csp.worker.ports import Control, Loop, Reader, Session, Tracked, View
from csp.worker.server_info import ServerInfo
from csp.worker.slowlane import SlowLane
from tests.unit.fake_flags import FakeFlags
from tests.unit.fake_reader import FakeReader


@dataclass
class FakeSession:
    id: int
    address: str = "127.0.0.1:50000"
    port: int = 0
    secured: str = ""
    certificate: dict[str, Any] | None = None
    peer_first: bool = False
    discovery: bool = False
    listening: bool = False
    authenticated: bool = True
    must_change: bool = False
    administrator: bool = True
    server: bool = True
    proto: int = 2
    in_multi: bool = False
    name: str = ""
    lib_name: str = ""
    lib_ver: str = ""
    user: str = "default"
    account_dbid: int = 100
    credential_revision: int = 1
    application_dbid: int = 0
    feed: bool = False
    hears_moves: bool = False
    hears_no_place: bool = False
    created_ms: int = 0
    idle_ms: int = 0
    subscriptions: int = 0
    command: int = 0
    age_ms: int = 0
    revoked: bool = False  # its certificate is
    fd: int = -1

    def is_revoked(self, context: TlsContext) -> bool:
        return self.revoked


@dataclass
class FakeControl(FakeFlags):
    generation: int = 1
    state: int = 1
    role: int = 0
    writable: bool = True
    links: tuple[int, int, int] = (0, 10, 1)
    serving: bool = True
    standing_text: bytes = b""
    drains: tuple[int, int] = (0, 0)
    link_wall_ms: int = 0

    def standing(self) -> bytes:
        return self.standing_text

    def set_standing(self, text: bytes) -> None:
        self.standing_text = text

    def drain(self) -> tuple[int, int]:
        return self.drains

    def slot(self, slot: int) -> dict[str, int]:
        return {"pid": 0}

    def link(self) -> tuple[int, int, int]:
        return self.links

    def slot_counters(self, slot: int) -> dict[str, int]:
        shown = {"commands": 5, "connections": int(slot == 0), "subscribers": 0, "feeds": 0}
        return dict.fromkeys(NAMES, 0) | shown  # the others of a fake server have nobody

    def count(self, slot: int, metric: int, change: int = 1) -> None:
        """Nobody looks."""


class FakeTracking:
    """Notes who tracks, and what connections of other workers' trackers are told."""

    def __init__(self) -> None:
        self.how: dict[int, Tracked] = {}
        self.may = True
        self.ids: dict[int, int] = {}  # of this worker's connections: handles
        self.told: list[tuple[int, list[bytes] | None]] = []
        self.ended: list[int] = []
        self.own: list[tuple[int, int]] = []

    def begin(self, conn: int, *, prefixes: list[bytes], redirect: int = 0, **modes: bool) -> None:
        modes = {name: modes.get(name, False) for name in ("bcast", "optin", "optout", "noloop")}
        self.how[conn] = {
            **modes,  # type: ignore[typeddict-item]
            "caching": False,
            "broken": False,
            "redirect": redirect,
            "prefixes": prefixes,
        }

    def end(self, conn: int) -> None:
        self.how.pop(conn, None)

    reset = end

    def forget(self, conn: int) -> None:
        self.told.append((conn, None))

    def caching(self, conn: int) -> None:
        self.how[conn]["caching"] = True

    def wrote(self, conn: int, revision: int) -> None:
        self.own.append((conn, revision))

    def info(self, conn: int) -> Tracked | None:
        return self.how.get(conn)

    def may_begin(self, conn: int) -> bool:
        return self.may

    def prefix_count(self) -> int:
        return sum(len(one["prefixes"]) for one in self.how.values())

    def find(self, id: int) -> int:
        return self.ids.get(id, -1)

    def exists(self, id: int, account: int) -> bool:
        return id in self.ids

    def part(self, conn: int) -> None:
        """Nobody is told through it any more."""

    def tell(self, conn: int, keys: list[bytes] | None) -> bool:
        self.told.append((conn, keys))
        return True

    def gone(self, id: int) -> None:
        self.ended.append(id)


class FakeLoop:
    """Collects what is sent; runs timers and descriptors when told."""

    def __init__(self) -> None:
        self.reader: Reader | None = FakeReader()
        self.sessions: dict[int, Any] = {}
        self.sent: dict[int, list[bytes]] = {}
        self.closing: set[int] = set()
        self.unsent: dict[int, int] = {}
        self.executed: list[tuple[list[bytes], int]] = []
        self.fds: dict[tuple[int, bool], Callable[[], None]] = {}
        self.timers: list[tuple[int, int, Callable[[], None]]] = []
        self.now_ms = 0
        self.wants_published = False
        self.turn_over = False
        self.started: dict[int, tuple[int, dict[str, Any]]] = {}
        self.limits: dict[str, int] = {}
        self.balancers: tuple[Network, ...] = ()
        self.turned_away: list[tuple[str, int, int, str]] = []
        self.lost: set[int] = set()
        self.replayed: dict[int, list[bytes]] = {}
        self.replay_ends: dict[int, bool] = {}  # whether it was lost
        self.token_key: tuple[int, bytes, bytes] = (0, b"", b"")
        self.contexts: dict[int, TlsContext | None] = {}  # by port
        self.awaited: dict[int, bool] = {}  # by port: whether hellos wait for a context
        self.admitted: list[int] = []
        self.tracking = FakeTracking()
        self._numbers = itertools.count()

    def reply(self, conn: int, data: bytes) -> None:
        self.sent[conn].append(data)

    push = reply

    def close(self, conn: int) -> None:
        self.closing.add(conn)

    def pending(self, conn: int) -> int:
        return self.unsent.get(conn, 0)

    def reader_of(self, conn: int) -> View | None:
        return self.reader

    def rights_on(self, conn: int, class_id: int, dbid: int) -> int:
        return ALL

    def session(self, conn: int) -> Session:
        found: Session = self.sessions[conn]
        return found

    def clients_from(self, start: int, most: int) -> tuple[list[dict[str, Any]], int]:
        rows = [self.client(conn) for conn in sorted(self.sessions)]
        end = start + most
        return rows[start:end], end if end < len(rows) else -1

    def client(self, conn: int) -> dict[str, Any]:
        return vars(self.sessions[conn]) | {"slot": 0, "conn": conn}

    def judge(self, conn: int, args: list[bytes]) -> tuple[int, bytes]:
        session = self.sessions[conn]
        return judge_for(
            args,
            signed_in=session.authenticated,
            administrator=session.administrator,
            server=session.server,
            in_multi=session.in_multi,
            resp2_subscriber=bool(session.subscriptions) and session.proto == 2,
            loading=self.reader is None,
            must_change=session.must_change,
            peer_first=session.peer_first,
            discovery=session.discovery,
        )

    def execute_all(
        self, conn: int, count: int, step: Callable[[int, bool], bytes | list[bytes] | None]
    ) -> bytes | None:
        replies = b"*%d\r\n" % count
        for index in range(count):
            said = step(index, False)
            assert said is not None
            if isinstance(said, list):
                assert self.reader is not None
                self.executed.append((said, self.reader.revision))
                said = b"$-1\r\n"
            replies += said
        return replies

    def subscribed_from(self, start: int, most: int, pattern: bool) -> tuple[list[bytes], int]:
        return [], -1

    def subscribers(self, channels: list[bytes]) -> list[int]:
        return [0 for _ in channels]

    def may_hear(self, conn: int, channels: list[bytes]) -> list[bool]:
        return [True for _ in channels]

    def unsubscribe_all(self, conn: int) -> None:
        self.sessions[conn].subscriptions = 0

    def start_from(
        self,
        conn: int,
        revision: int,
        *,
        subs: int = 1,
        mark: int | None = None,
        bookmark_ms: int = 0,
        later: bool = False,
        lost: bool = False,
        states: bool = False,
    ) -> None:
        said: dict[str, Any] = {"subs": subs, "mark": mark, "bookmark_ms": bookmark_ms}
        if states:
            said["states"] = True
        if later:
            said["lost"] = lost
        self.started[conn] = (revision, said)

    def replay(self, conn: int, entry: bytes, first: int) -> int:
        self.replayed.setdefault(conn, []).append(entry)
        return 0

    def show(self, conn: int, entry: bytes) -> bool:
        return conn in self.sessions

    def shown(self, conn: int, payload: bytes) -> None: ...

    def subscriptions_of(self, conn: int) -> list[tuple[bytes, bool]]:
        return []

    def replay_end(self, conn: int, *, lost: bool) -> None:
        self.replay_ends[conn] = lost

    def lose_place(self, conn: int) -> None:
        self.lost.add(conn)

    def set_tls(self, port: int, context: TlsContext | None) -> None:
        self.contexts[port] = context

    def await_tls(self, port: int, awaits: bool) -> None:
        self.awaited[port] = awaits

    def admit(self, conn: int) -> None:
        self.admitted.append(conn)

    def set_token_key(self, number: int, stream: bytes, key: bytes) -> None:
        self.token_key = (number, stream, key)

    def token(self, conn: int) -> bytes:
        session = self.sessions[conn]
        if session.server or not session.application_dbid:
            return b""
        return b"token of %d" % session.application_dbid

    def add_fd(self, fd: int, callback: Callable[[], None], *, write: bool = False) -> None:
        self.fds[fd, write] = callback

    def remove_fd(self, fd: int) -> None:
        self.fds.pop((fd, False), None)
        self.fds.pop((fd, True), None)

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> int:
        number = next(self._numbers)
        heapq.heappush(self.timers, (self.now_ms + delay_ms, number, callback))
        return number

    def reset_longest_turn(self) -> None: ...

    def is_turn_over(self) -> bool:
        return self.turn_over

    def want_published(self, wanted: bool) -> None:
        self.wants_published = wanted

    def set_limits(self, limits: Mapping[str, int]) -> None:
        self.limits = dict(limits)

    def set_balancers(self, networks: Sequence[Network]) -> None:
        self.balancers = tuple(networks)

    def take_turned_away(self) -> list[tuple[str, int, int, str]]:
        taken, self.turned_away = self.turned_away, []
        return taken

    def pass_time(self, ms: int) -> None:
        """Runs the timers that are due in the next ms."""
        until = self.now_ms + ms
        while self.timers and self.timers[0][0] <= until:
            self.now_ms, _, callback = heapq.heappop(self.timers)
            callback()
        self.now_ms = until

    def turn(self) -> None:
        """Runs the timers that are due now, not those that they ask for."""
        due = [timer for timer in sorted(self.timers) if timer[0] <= self.now_ms]
        self.timers = [timer for timer in self.timers if timer not in due]
        heapq.heapify(self.timers)
        for _, _, callback in due:
            callback()

    def poll(self) -> None:
        """Runs all descriptors' callbacks once."""
        for callback in list(self.fds.values()):
            callback()


class Peer:
    """The other end of a channel: a Unix socket that a test answers by hand."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(5)
        self.socket: socket.socket | None = None
        self.decoder = Decoder()
        self.on_greeted = lambda: None  # lets the asker hear it
        self.before_take = lambda: None  # lets it send what it sends together

    def accept(self) -> None:
        """Takes the channel in and greets."""
        self.socket, _ = self.listener.accept()
        self.socket.settimeout(5)
        self.answer("READY", 0)
        self.on_greeted()

    def take(self) -> list[bytes]:
        """The next question."""
        self.before_take()
        if self.socket is None:
            self.accept()
        while True:
            value = self.decoder.next()
            if isinstance(value, list):
                return [part for part in value if isinstance(part, bytes)]
            self.decoder.feed(self.socket.recv(65536))

    def answer(self, *parts: bytes | str | int) -> None:
        assert self.socket is not None
        self.socket.sendall(request(*parts))

    def hang_up(self) -> None:
        assert self.socket is not None
        self.socket.close()
        self.socket = None
        self.decoder = Decoder()

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
        self.listener.close()


class Server:
    """A slow lane on a fake loop, with one client, and the writer and auth played by the test."""

    def __init__(self, folder: Path, **info: Any) -> None:
        self.writer = Peer(folder / WRITER.socket_name)
        self.auth = Peer(folder / AUTH.socket_name)
        is_master = info.get("mode", "master") in READING.modes
        self.reading = Peer(folder / READING.socket_name) if is_master else self.writer
        self.loop = FakeLoop()
        self.control = FakeControl()
        options = {"mode": "master", "app_name": "confserv", "app_dbid": 99, "instance": "test"}
        options |= {"address": "127.0.0.1:7000", "started_ms": 1, "options": {"packet-size": 1024}}
        options |= {"folder": str(folder)}
        self.reader = FakeReader()
        self.loop.reader = self.reader
        guest = FakeReader()
        guest.objects = self.reader.objects
        self.guests_out = 0
        self.control.writable = options["mode"] != "proxy" and info.get("mode") != "proxy"
        self.lane = SlowLane(ServerInfo(**(options | info)), self.control, self._open_guest)
        self.lane.start(self.loop)
        self.writer.on_greeted = self.auth.on_greeted = self.reading.on_greeted = self.loop.poll
        self.auth.before_take = lambda: self.loop.pass_time(0)
        self._guest = guest
        self.connect(1)

    def _open_guest(self) -> tuple[Reader, Callable[[], None]]:
        self.guests_out += 1

        def give_back() -> None:
            self.guests_out -= 1

        return self._guest, give_back

    def connect(self, conn: int, **session: Any) -> None:
        self.loop.sessions[conn] = FakeSession(conn, **session)
        self.loop.sent[conn] = []

    def raw(self, *args: str | bytes, conn: int = 1) -> bytes | None:
        """What a command answers, undecoded; None where it is deferred."""
        words = [arg if isinstance(arg, bytes) else arg.encode() for arg in args]
        return self.lane.command(conn, words)

    def ask(self, *args: str | bytes, conn: int = 1) -> Value:
        """What a command answers, decoded."""
        data = self.raw(*args, conn=conn)
        assert data is not None, "deferred"
        return decode_one(data)

    def later(self, conn: int = 1) -> Value:
        """The reply that came after all; polls the channels once."""
        self.loop.poll()
        (data,) = self.loop.sent[conn]
        self.loop.sent[conn] = []
        return decode_one(data)

    def frames(self, conn: int = 1) -> list[Value]:
        """Everything that was pushed, decoded."""
        decoder = Decoder()
        decoder.feed(b"".join(self.loop.sent[conn]))
        self.loop.sent[conn] = []
        return list(decoder)

    def disconnect(self, conn: int = 1) -> None:
        self.lane.closed(conn, "")
        del self.loop.sessions[conn]

    def publish(self, revision: int) -> None:
        self.reader.published = revision
        self.lane.feed()
        self.lane.published(revision)

    def close(self) -> None:
        self.lane.stop()
        self.writer.close()
        self.auth.close()


def decode_one(data: bytes) -> Value:
    decoder = Decoder()
    decoder.feed(data)
    (value,) = decoder
    return value


# The fakes are checked against what the slow lane says it needs.
_loop: type[Loop] = FakeLoop
_control: type[Control] = FakeControl
