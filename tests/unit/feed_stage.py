"""A master that speaks the feed, and a store that only counts: what FeedOrigin is tried between.

Both ends run in the test's own thread, so every order of events can be played.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import pack, pack_into, unpack_from
from typing import Any

from csp._fastpath import StoreFull
from csp.feed.origin import FeedOrigin
from csp.feed.phase import Clocks
from csp.model.feed import FORMAT
from csp.model.keys import TABLE_DIGEST
from csp.process.application import Finder
from csp.process.context import ProcessContext, Upstream
from csp.process.roles import WRITER
from csp.process.standing import Standing
from csp.resp import Decoder, Value, request
from tests.unit.fake_flags import FakeAlarms
from tests.unit.fake_standing import FakeStanding

TURN_LIMIT_SECONDS = 5.0


def entry(revision: int, mark: int, time_ms: int = 1_000) -> tuple[bytes, int]:
    """A change without items, and its mark."""
    data = bytearray(64)
    head = (0x43535033, 64, 0, 0, revision, 0, time_ms, 0, 0, TABLE_DIGEST, 0)
    pack_into("<IIIIQQqIIQQ", data, 0, *head)
    digest = blake2b(pack("<Q", mark) + bytes(data[12:])).digest()
    (new_mark,) = unpack_from("<Q", digest)
    pack_into("<Q", data, 24, new_mark)
    return bytes(data), new_mark


class History:
    """What a master's database would hold: a stream, and the marks and entries of its revisions."""

    def __init__(self, stream: bytes = b"S" * 16, revision: int = 10, mark: int = 1) -> None:
        self.stream = stream
        self.revision = revision
        self.marks = {revision: mark}
        self.entries: dict[int, bytes] = {}

    def change(self, count: int = 1, time_ms: int = 1_000) -> None:
        """Commits changes."""
        for _ in range(count):
            data, mark = entry(self.revision + 1, self.marks[self.revision], time_ms)
            self.revision += 1
            self.entries[self.revision] = data
            self.marks[self.revision] = mark


@dataclass(eq=False)
class Guest:
    """A connection that a proxy made."""

    socket: socket.socket
    decoder: Decoder = field(default_factory=Decoder)
    commands: list[list[bytes]] = field(default_factory=list)
    feed: list[bytes] = field(default_factory=list)
    forwarded: dict[int, list[bytes]] = field(default_factory=dict)  # pieces by number

    def send(self, *words: bytes | str | int) -> None:
        """Sends a frame."""
        self.socket.sendall(request(*words))


class FakeMaster:
    """Accepts, greets and sends what the test tells it to."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.guests: list[Guest] = []
        self.questions: list[tuple[Guest, int, list[Value]]] = []  # forwarded, not answered
        self.is_alive = True  # answers PING and HEAD
        self.pings = 0
        self.register_reply = b"*0\r\n"
        self.hello_reply = b"*0\r\n"
        self.greeting: dict[str, Any] = {}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]

    def feeds(self) -> list[Guest]:
        """Connections that asked for a feed, oldest first."""
        return [guest for guest in self.guests if guest.feed]

    def turn(self) -> None:
        """Does what a master does by itself: accepts, signs in, registers."""
        try:
            accepted, _ = self.listener.accept()
        except (BlockingIOError, OSError):
            pass
        else:
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.guests.append(Guest(accepted))
        for guest in list(self.guests):
            self._serve(guest)

    def _serve(self, guest: Guest) -> None:
        try:
            data = guest.socket.recv(1 << 20)
            if data:
                self._answer_all(guest, data)
                return
        except BlockingIOError:
            return
        except ConnectionError:  # it went, perhaps before it was answered
            pass
        guest.socket.close()
        self.guests.remove(guest)

    def _answer_all(self, guest: Guest, data: bytes) -> None:
        guest.decoder.feed(data)
        for command in guest.decoder:
            assert isinstance(command, list)
            words = [word for word in command if isinstance(word, bytes)]
            guest.commands.append(words)
            if words[0] == b"HELLO":
                guest.socket.sendall(self.hello_reply)
            elif words[0] == b"CFG.REGISTER":
                guest.socket.sendall(self.register_reply)
            elif words[0] == b"CFG.FORWARD":
                self._forwarded(guest, *words[1:])
            elif words[0] == b"PING":
                self.pings += 1
                guest.socket.sendall(b"+PONG\r\n" if self.is_alive else b"")
            elif words[0] == b"CFG.FEED":
                guest.feed = words

    def _forwarded(self, guest: Guest, number: bytes, more: bytes, piece: bytes) -> None:
        guest.forwarded.setdefault(int(number), []).append(piece)
        if more == b"MORE":
            return
        decoder = Decoder()
        decoder.feed(b"".join(guest.forwarded.pop(int(number))))
        (question,) = decoder
        assert isinstance(question, list)
        if question == [b"HEAD"] and self.is_alive:
            self.answer(guest, int(number), "DONE", self.history.revision)
        else:
            self.questions.append((guest, int(number), question))

    def answer(self, guest: Guest, number: int, *words: bytes | str | int) -> None:
        """Answers what was forwarded."""
        guest.socket.sendall(b">" + request("forwarded", number, *words)[1:])

    def greet(self, guest: Guest, *, snapshot: bool, **changes: Any) -> None:
        """Sends the greeting."""
        history = self.history
        said = {
            "release": "0.1.0",
            "format": FORMAT,
            "table": f"{TABLE_DIGEST:016x}",
            "stream": history.stream.hex(),
            "revision": history.revision,
            "mark": f"{history.marks[history.revision]:016x}",
            "mode": "snapshot" if snapshot else "continue",
            "classes": [],
        }
        guest.send("greeting", json.dumps(said | self.greeting | changes))

    def send_part(self, guest: Guest, index: int, records: Sequence[bytes] = ()) -> None:
        """Sends a whole part as of now."""
        history = self.history
        for images in records:
            guest.send("records", images)
        mark = f"{history.marks[history.revision]:016x}"
        guest.send("part", index, history.revision, mark, 1_000)

    def send_changes(self, guest: Guest, after: int) -> None:
        """Sends the changes after a revision."""
        for revision in range(after + 1, self.history.revision + 1):
            guest.send("change", self.history.entries[revision])

    def send_alive(self, guest: Guest, time_ms: int = 2_000) -> None:
        """Sends what a quiet master sends every second."""
        history = self.history
        guest.send("alive", history.revision, f"{history.marks[history.revision]:016x}", time_ms)

    def close(self) -> None:
        """Dies."""
        self.listener.close()
        for guest in self.guests:
            guest.socket.close()
        self.guests.clear()


class FakeHost(FakeAlarms, FakeStanding):
    """A store that remembers what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = self.has_generation = False
        self.stream = b""
        self.heard_ms = 0
        self.published = 0
        self.mark = 0
        self.time_ms = 0
        self.calls: list[str] = []
        self.finder: Finder | None = None
        self.links: list[tuple[int, int, int]] = []
        self.fence = 0
        self.standing = Standing()
        self.full_at = 0  # from this revision on there is no room
        self._loading = b""

    def load_begin(self, stream: bytes) -> None:
        self.calls.append("begin")
        self._loading = stream

    def load(self, images: bytes) -> int:
        self.calls.append(f"load {len(images)}")
        return 1

    def load_rekeyed(self, images: bytes) -> None:
        self.calls.append(f"rekeyed {len(images)}")

    def load_again(self, class_id: int, dbid: int) -> None:
        self.calls.append(f"again {class_id} {dbid}")

    def load_entry(self, data: bytes, accounts: Sequence[bytes] = ()) -> None:
        self.calls.append(f"entry {unpack_from('<Q', data, 16)[0]}")

    @property
    def log_bytes(self) -> int:
        return 0

    def seed_log(self, data: bytes) -> None:
        raise AssertionError("a feed has no history")

    def load_end(self, revision: int, mark: int, time_ms: int) -> None:
        self.calls.append(f"end {revision}")
        self.loaded, self.stream, self.published = True, self._loading, revision
        self.mark, self.time_ms = mark, time_ms

    def load_abort(self) -> None:
        self.calls.append("abort")

    def settle(self) -> None:
        raise AssertionError("a feed settles each change itself")

    def apply(self, data: bytes, accounts: Sequence[bytes] = (), *, settle: bool = True) -> None:
        revision, mark, time_ms = unpack_from("<QQq", data, 16)
        assert revision == self.published + 1
        if self.full_at and revision >= self.full_at:
            raise StoreFull("no room")
        self.calls.append(f"apply {revision}")
        self.published, self.mark, self.time_ms = revision, mark, time_ms

    def follow(self, frames: memoryview) -> tuple[int, bool]:
        return 0, False  # every change goes through `apply`

    def prepare(self, changes: Sequence[tuple[bytes, Sequence[bytes]]]) -> None:
        return

    def abandon(self) -> None:
        return

    def image(self, class_id: int, dbid: int) -> bytes | None:
        return b"x" * 8  # smaller than whatever comes

    def reader(self) -> Finder | None:
        return self.finder

    def set_link(self, state: int, master_revision: int, heard_ms: int) -> None:
        self.links.append((state, master_revision, heard_ms))


class Stage:
    """Lets a feed and a fake master play."""

    def __init__(self, history: History | None = None, parts: int = 1) -> None:
        self.history = history or History()
        self.master = FakeMaster(self.history)
        self.host = FakeHost()
        self.now_ms = 0
        upstream = Upstream("127.0.0.1", self.master.port, "default", "secret")
        self.origin = FeedOrigin(
            a_context(upstream), clocks=Clocks(lambda: self.now_ms, lambda: 0.5), parts=parts
        )

    def resume_from(self, history: History, revision: int) -> None:
        """Gives the store a state, as a writer's predecessor left it."""
        host = self.host
        host.loaded, host.stream, host.published = True, history.stream, revision
        host.mark = history.marks[revision]

    def start(self) -> None:
        """Starts the origin."""
        self.origin.start(self.host)

    def play(self, until: Callable[[], object], what: str = "") -> None:
        """Turns both ends until the condition holds."""
        end = time.monotonic() + TURN_LIMIT_SECONDS
        while not until():
            assert time.monotonic() < end, f"not within the limit: {what}; {self.host.calls}"
            self.turn()

    def turn(self, seconds: float = 0.001) -> None:
        """One turn of the writer's loop, which waits so long for bytes, and of the master."""
        self.master.turn()
        watches = self.origin.watches()
        with selectors.SelectSelector() as selector:
            for watch in watches:
                selector.register(watch.fd, watch.events, watch.callback)
            ready = [key.data for key, _ in selector.select(seconds)]
        for callback in ready:
            callback()
        self.origin.tick(self.now_ms)

    def close(self) -> None:
        """Ends both."""
        self.origin.close()
        self.master.close()


def a_context(upstream: Upstream) -> ProcessContext:
    """A proxy's writer."""
    return ProcessContext(
        mode="proxy",
        role=WRITER,
        app_name="proxy1",
        app_dbid=110,
        instance="proxy1-4000",
        runtime_folder="/nowhere",
        address="127.0.0.1:4000",
        started_ms=0,
        slot=WRITER.slot,
        worker_count=1,
        client_count_max=100,
        listen_fds=(),
        wake_fds=(),
        channel_fd=-1,
        control_fd=-1,
        report_fd=-1,
        session_fd=-1,
        session_rows=0,
        reserve_bytes=0,
        log_reserve_bytes=0,
        upstream=upstream,
    )
