"""Runs a loop in a child process over a store that the test changes; all may sign in."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from csp._fastpath import Control, Loop, StoreWriter
from csp.model.entry import Change, build_difference, build_entry, mark_of
from csp.model.extract import Nothing
from csp.model.image import build_image
from csp.model.keys import STORED_KEYS, TABLE_DIGEST
from csp.model.types import CLASSES
from csp.process.ports import Port
from csp.process.standing import shown
from csp.resp import Decoder, ErrorReply
from csp.resp.encode import encode
from csp.worker.starts import read_start
from tests.neighbours import secrets

STREAM = b"s" * 16
TIME_MS = 1_760_000_000_000


def person(dbid: int, **more: Any) -> dict[str, Any]:
    """A person as the engine holds one."""
    return {
        "DBID": dbid,
        "folderDBID": 100 + dbid % 2,
        "tenantDBID": 1,
        "userName": f"user{dbid}",
        "employeeID": f"e{dbid}",
        "firstName": f"First{dbid}",
        "lastName": f"Last{dbid % 10}",
        "isAgent": dbid % 3 == 0,
        "state": "enabled",
        **more,
    }


def take_memory(piece: int) -> list[bytes]:
    """Leaves this process no piece of memory as large as that."""
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped, mapped))
    taken: list[bytes] = []
    try:
        while True:
            taken.append(bytes(piece))
    except MemoryError:
        return taken


class OpenLane:
    """Signs everybody in; a few commands by which a test reaches the loop's Python side."""

    def __init__(self) -> None:
        self.loop: Loop = None  # type: ignore[assignment]
        self.seen: list[int] = []
        self.taken: list[bytes] = []
        self.failed: list[str] = []  # why handshakes failed, as the loop told it
        self.fed: list[tuple[int, int]] = []  # revision, messages sent before
        self.follows: list[int] = []

    def command(self, conn: int, args: list[bytes]) -> bytes | None:
        session = self.loop.session(conn)
        verb = args[0].lower()
        if verb == b"quit":
            self.loop.close(conn)
        elif verb == b"hello":
            session.proto = int(args[1]) if len(args) > 1 else session.proto
        elif verb == b"auth":
            session.authenticated = True
            session.see_all()
        elif not session.authenticated:
            return b"-NOAUTH Authentication required.\r\n"
        elif verb == b"boom":
            raise RuntimeError("boom")
        elif verb == b"later":
            data = args[2]
            self.loop.call_later(int(args[1]), lambda: self.loop.reply(conn, b"+" + data + b"\r\n"))
            return None
        elif verb == b"push":
            self.loop.push(conn, b">1\r\n$4\r\npush\r\n")
        elif verb == b"execute":
            return self.loop.execute_all(conn, len(args) - 1, self.step_of(conn, args[1:]))
        elif verb == b"cfg.from":
            return self.start_from(conn, args[1:], session.proto)
        elif verb == b"reset":
            self.loop.tracking.reset(conn)
            self.loop.unsubscribe_all(conn)
        elif verb == b"client":
            return self.track(conn, args[1:], session.id)
        elif verb == b"moves":
            session.hears_moves = True
            session.hears_no_place = args[1] == b"bare"
        elif verb == b"name":
            session.name = args[1].decode()
            return b"+" + session.name.encode() + b"\r\n"
        elif verb == b"counters":
            text = repr({**self.loop.counters(), "clients": len(self.loop.clients())}).encode()
            return b"$%d\r\n%s\r\n" % (len(text), text)
        elif verb == b"clients":
            text = repr(self.loop.clients()).encode()
            return b"$%d\r\n%s\r\n" % (len(text), text)
        elif verb == b"spin":
            until = time.thread_time() + int(args[1]) / 1000
            while time.thread_time() < until:
                pass
        elif verb == b"rest":
            select.select([], [], [], int(args[1]) / 1000)
        elif verb == b"squeeze":
            self.taken = take_memory(int(args[1]))
        elif verb == b"follow":
            session.feed = True
            self.follows.append(conn)
        elif verb == b"fed":
            return encode([list(one) for one in self.fed], session.proto)
        elif verb == b"drain":
            self.loop.drain()
        elif verb == b"resetstat":
            self.loop.reset_longest_turn()
        elif verb == b"echo":
            return b"$%d\r\n%s\r\n" % (len(args[1]), args[1])
        else:
            return b"-ERR unknown command '%s'\r\n" % args[0][:64]
        return b"+OK\r\n"

    def start_from(self, conn: int, args: list[bytes], proto: int) -> bytes:
        """CFG.FROM without a look at the log: every place is taken."""
        asked = read_start(args)
        now = self.loop.reader.revision
        revision = now if asked.revision is None else asked.revision
        self.loop.start_from(
            conn, revision, subs=asked.subs, mark=asked.mark, bookmark_ms=asked.bookmark_ms
        )
        return encode([b"cfg.from", revision, None], proto)

    def track(self, conn: int, args: list[bytes], own_id: int) -> bytes:
        """CLIENT ID, CACHING and TRACKING, without a look at what goes together."""
        tracking = self.loop.tracking
        words = [arg.decode().lower() for arg in args]
        if words[0] == "id":
            return b":%d\r\n" % own_id
        if words[0] == "caching":
            tracking.caching(conn)
        elif words[1] == "off":
            tracking.end(conn)
        elif words[1] == "forget":
            tracking.forget(conn)
        elif words[1] == "wrote":
            tracking.wrote(conn, int(words[2]))
        else:
            redirect = int(words[words.index("redirect") + 1]) if "redirect" in words else 0
            modes = {word: True for word in ("bcast", "optin", "optout", "noloop") if word in words}
            prefixes = [args[at + 1] for at, word in enumerate(words) if word == "prefix"]
            prefixes = prefixes or [b""] * ("bcast" in modes)
            tracking.begin(conn, redirect=redirect, prefixes=prefixes, **modes)
        return b"+OK\r\n"

    def step_of(self, conn: int, lines: list[bytes]) -> Any:
        """What EXEC asks for each of its lines; `SAY word` is of the slow lane and always known."""

        def step(index: int, late: bool) -> bytes | list[bytes] | None:
            words = lines[index].split() if index < len(lines) else []
            if not words or words[0] == b"SAY":
                return b"".join(b"+" + word + b"\r\n" for word in words[1:])
            if late:
                return None
            return self.command(conn, words) if words[0] in (b"NAME", b"QUIT") else words

        return step

    def too_many(self, conn: int, name: bytes, count: int) -> bytes:
        return b"-TOOBIG %d arguments\r\n" % count

    def closed(self, conn: int, why: str) -> None:
        self.seen.append(conn)

    def certified(self, conn: int) -> None:
        self.loop.admit(conn)

    def handshakes_failed(self, count: int, address: str, port: int, reason: str) -> None:
        self.failed.append(reason)

    def fetch(self, conn: int, revision: int, mark: int | None, unsure: bool) -> None:
        """There is no master to ask."""
        self.loop.replay_end(conn, lost=unsure)

    def writable(self, conn: int) -> None: ...

    def feed(self) -> None:
        """Tells the connections that follow, and notes how many messages clients had got."""
        messages = self.loop.control.slot_counters(self.loop.slot)["messages"]
        self.fed.append((self.loop.reader.revision, messages))
        for conn in self.follows:
            self.loop.push(conn, b"+fed %d\r\n" % self.loop.reader.revision)

    def published(self, revision: int) -> None: ...

    def moving_to(self) -> bytes:
        return shown(self.loop.control).peer_address.encode()

    def accounts_changed(self, accounts: list[int] | None) -> None: ...

    def attached(self) -> None: ...


class HotServer:
    """The store and the child; the test is the writer."""

    lane_class: type[OpenLane] = OpenLane

    def __init__(
        self,
        objects: Sequence[tuple[str, dict[str, Any]]],
        *,
        load: bool = True,
        reserve_bytes: int = 256 << 20,
        log_bytes: int = 0,
        log_age_ms: int = 600_000,
        ports: Sequence[Port] = (Port(0),),
        **limits: int,
    ) -> None:
        self.objects = {(name, obj["DBID"]): {**obj, "revision": 1} for name, obj in objects}
        self.marks: dict[int, int] = {}
        self.control_fd = os.memfd_create("control")
        os.ftruncate(self.control_fd, Control.SIZE)
        self.data_fd = os.memfd_create("data")
        self.next_fd = os.memfd_create("next")
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.control = Control(self.control_fd, format=True)
        self.ports = ports
        self.listeners = [self.listener() for _ in ports]
        for listener in self.listeners:
            listener.setblocking(False)
        self.port = self.listeners[0].getsockname()[1]
        self.limits = limits
        self.writer = StoreWriter(
            self.data_fd,
            self.control,
            reserve_bytes=reserve_bytes,
            format=True,
            wake_fds=[self.wake_fd],
            keys=STORED_KEYS,
            table=TABLE_DIGEST,
            log_bytes=log_bytes,
            log_age_ms=log_age_ms,
        )
        if load:
            self.load()
        self.life_fd, self.here_fd = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.here_fd)
            self._child(load)
        os.close(self.life_fd)

    def listener(self) -> socket.socket:
        """One that listens, on a port that the kernel chooses."""
        return socket.create_server(("127.0.0.1", 0), backlog=512)

    def load(self) -> None:
        """Publishes the objects at revision 1."""
        self.writer.load_begin(STREAM)
        for (name, _), obj in self.objects.items():
            self.writer.load(build_image(CLASSES[name], obj, 1, Nothing()))
        self.writer.load_end(1, 7, TIME_MS)
        self.marks[1] = 7
        self.control.generation = 1
        self.control.state = 1

    def change(self, *changes: tuple[str, str, dict[str, Any]]) -> int:
        """Applies one transaction of (op, class, object) and returns its revision."""
        revision = self.writer.published + 1
        made, images = [], []
        for op, name, obj in changes:
            before = self.objects.get((name, obj["DBID"]))
            after = None if op == "delete" else {**obj, "revision": revision}
            made.append(Change(op, CLASSES[name], obj["DBID"], before, after))
            images.append(
                b"" if after is None else build_image(CLASSES[name], after, revision, Nothing())
            )
            if after is None:
                self.objects.pop((name, obj["DBID"]), None)
            else:
                self.objects[name, obj["DBID"]] = after
        entry = build_entry(revision, self.writer.mark, TIME_MS, {"account": "t"}, made, images)
        self.marks[revision] = mark_of(entry)
        self.writer.apply(entry)
        self.writer.reclaim()
        return revision

    def next_generation(self, revision: int, mark: int, *, difference: bool = False) -> None:
        """Another generation with the same objects at this place, whose log is empty.

        With a difference its log begins with one, which tells of the first object.
        """
        writer = StoreWriter(
            self.next_fd,
            self.control,
            reserve_bytes=32 << 20,
            format=True,
            wake_fds=[self.wake_fd],
            keys=STORED_KEYS,
            table=TABLE_DIGEST,
        )
        writer.load_begin(STREAM)
        for (name, _), obj in self.objects.items():
            writer.load(build_image(CLASSES[name], obj, obj["revision"], Nothing()))
        writer.load_end(revision, mark, TIME_MS)
        if difference:
            (name, dbid), obj = next(iter(self.objects.items()))
            change = Change("update", CLASSES[name], dbid, obj, {**obj, "lastName": "other"})
            image = build_image(CLASSES[name], obj, obj["revision"], Nothing())
            writer.seed_log(build_difference(revision, mark, TIME_MS, [change], [image]))
        self.writer = writer
        self.marks[revision] = mark
        self.control.generation = 2

    def _child(self, load: bool) -> None:
        code = 1
        try:
            lane = self.lane = self.lane_class()
            lane.loop = Loop(
                control=self.control,
                slot=0,
                data_fd=self.data_fd if load else -1,
                listen_fds=[listener.fileno() for listener in self.listeners],
                listen_ports=range(len(self.ports)),
                ports=self.ports,
                wake_fd=self.wake_fd,
                slow=lane,
                limits=self.limits,
                attach=lambda generation: os.dup(self.next_fd if generation > 1 else self.data_fd),
            )
            self.prepare(lane.loop)
            lane.loop.add_fd(self.life_fd, lambda: os._exit(2))  # the test's process has ended
            signal.signal(signal.SIGTERM, lambda *_: lane.loop.drain())
            lane.loop.run()
            code = 0
        finally:
            os._exit(code)

    def prepare(self, loop: Loop) -> None:
        """What is done to the loop before it runs, in the child."""

    def connect(self, *, sign_in: bool = True, proto: int = 2, receive_bytes: int = 0) -> Raw:
        """A connection, signed in unless told otherwise; `receive_bytes` is its socket's buffer."""
        raw = Raw(self.port, receive_bytes)
        if sign_in:
            assert raw.call("AUTH", "x") == "OK"
            if proto == 3:
                assert raw.call("HELLO", "3") == "OK"
        return raw

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        for listener in self.listeners:
            listener.close()
        for fd in (self.control_fd, self.data_fd, self.next_fd, self.wake_fd, self.here_fd):
            os.close(fd)


class Raw:
    """A client that sends bytes and decodes replies."""

    def __init__(self, port: int, receive_bytes: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(10)
        if receive_bytes:  # before it connects: the other side judges windows by the largest seen
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect(("127.0.0.1", port))
        self.decoder = Decoder()
        self.replies: list[Any] = []

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def call(self, *args: str | bytes | int) -> Any:
        secrets.note_command(args)
        self.send(command(*args))
        return self.read()

    def read(self) -> Any:
        """The next reply or push, waiting for it."""
        while not self.replies:
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionError("closed by the server")
            self.take(data)
        return plain(self.replies.pop(0))

    def take(self, data: bytes) -> None:
        self.decoder.feed(data)
        self.replies += self.decoder

    def read_all(self, count: int) -> list[Any]:
        return [self.read() for _ in range(count)]

    def is_silent(self, seconds: float = 0.05) -> bool:
        """Whether nothing comes for a moment."""
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return not self.replies
        finally:
            self.socket.settimeout(10)
        self.take(data)
        return False

    def is_closed(self, within: float = 10) -> bool:
        """Reads until the server closes; False when it does not in time."""
        self.socket.settimeout(within)
        try:
            while self.socket.recv(1 << 16):
                pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
        return True

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def command(*args: str | bytes | int) -> bytes:
    """A request as an array of bulk strings."""
    parts = [one if isinstance(one, bytes) else str(one).encode() for one in args]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


def plain(value: Any) -> Any:
    """Bytes as text where they are text; errors as their text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, ErrorReply):
        return f"-{value}"
    if isinstance(value, Mapping):
        return {plain(k): plain(v) for k, v in value.items()}
    return value


def wait_for(check: Any, within: float = 10.0) -> Any:
    """The first true value of check(), polled."""
    end = time.monotonic() + within
    while True:
        value = check()
        if value or time.monotonic() > end:
            return value
        os.sched_yield()


Serve = Callable[..., HotServer]
PEOPLE = [("CfgPerson", person(dbid)) for dbid in range(101, 1101)]


def dbids(page: list[Any]) -> list[int]:
    return [orjson.loads(one)["DBID"] for one in page[2]]
