"""What the targets talk with: a store of some people, a worker over it, and a slow lane."""

from __future__ import annotations

import contextlib
import functools
import socket
from typing import Any

from csp._fastpath import Loop, StoreReader
from csp.model.entry import Change, build_entry
from csp.model.extract import Nothing
from csp.model.image import build_image
from csp.model.types import CLASSES
from csp.process.ports import Port
from csp.tables.commands import BY_NUMBER
from tests.neighbours.memory_store import MemoryStore

RESERVE_BYTES = 16 << 20


class Lane:
    """Signs everybody in; says of everything else that it does not know it."""

    loop: Loop

    def command(self, conn: int, args: list[bytes]) -> bytes | None:
        session = self.loop.session(conn)
        verb = args[0].lower()
        if verb == b"auth":
            session.authenticated = True
            session.see_all()
        elif verb == b"hello":
            session.proto = 3 if args[1:2] == [b"3"] else 2
        elif verb == b"reset":
            session.authenticated = False
            self.loop.unsubscribe_all(conn)
        elif verb == b"execute" and session.authenticated:
            words = [line.split() for line in args[1:]]
            hot = [one for one in words if one and self._is_hot(conn, one)]
            return self.loop.execute_all(
                conn, len(hot), lambda at, late: b"" if late or at == len(hot) else hot[at]
            )
        elif verb == b"cfg.from" and session.authenticated and not session.subscriptions:
            self._start(conn, [int(word) for word in args[1:] if word[:19].isdigit()])
        else:
            return b"-ERR unknown command\r\n"
        return b"+OK\r\n"

    def _start(self, conn: int, numbers: list[int]) -> None:
        """CFG.FROM: its revision, how many subscriptions it waits for, a mark, bookmarks."""
        revision, subs, mark, bookmark_ms = (numbers + [1, 1, 7, 0][len(numbers) :])[:4]
        self.loop.start_from(
            conn,
            revision % 2**62,
            subs=1 + subs % 100,
            mark=mark % 2**64 if mark else None,
            bookmark_ms=bookmark_ms % 10_000,
        )

    def _is_hot(self, conn: int, args: list[bytes]) -> bool:
        row = BY_NUMBER.get(self.loop.judge(conn, args)[0])
        return row is not None and "hot" in row.flags

    def too_many(self, conn: int, name: bytes, count: int) -> bytes:
        return b"-TOOBIG %d arguments\r\n" % count

    def closed(self, conn: int, why: str) -> None: ...
    def fetch(self, conn: int, revision: int, mark: int | None, unsure: bool) -> None:
        self.loop.replay_end(conn, lost=unsure)

    def show_states(self, conn: int) -> None:
        self.loop.shown(conn, b"{}")

    def writable(self, conn: int) -> None: ...
    def feed(self) -> None: ...
    def published(self, revision: int) -> None: ...

    def accounts_changed(self, accounts: list[int] | None) -> None: ...

    def attached(self) -> None: ...


class Store(MemoryStore):
    """A store that may get some persons."""

    def __init__(self) -> None:
        super().__init__(RESERVE_BYTES)

    @functools.cached_property
    def raw(self) -> StoreReader:
        """Looks at what is published."""
        return StoreReader(self.data_fd, self.control, 1)

    def people(self) -> None:
        """Loads them."""
        for dbid in range(101, 141):
            self.writer.load(build_image(CLASSES["CfgPerson"], person(dbid), 1, Nothing()))

    def change(self, number: int) -> None:
        """Updates or deletes one of them, or makes it again."""
        dbid, revision = 101 + number % 40, self.writer.published + 1
        before, after = person(dbid), {**person(dbid), "revision": revision}
        is_there = self.raw.raw_image(CLASSES["CfgPerson"].id, dbid) is not None
        op = ("create", "create", "update", "delete")[2 * is_there + number % 2]
        change = Change(
            op,
            CLASSES["CfgPerson"],
            dbid,
            before if is_there else None,
            after if op != "delete" else None,
            {"changed": {"firstName": "x"}} if op == "update" else None,
        )
        made = op != "delete"
        image = build_image(CLASSES["CfgPerson"], after, revision, Nothing()) if made else b""
        self.writer.apply(build_entry(revision, 7, 0, {"account": "t"}, [change], [image]))


def person(dbid: int) -> dict[str, Any]:
    """A person as the engine holds one."""
    return {
        "DBID": dbid,
        "revision": 1,
        "folderDBID": 100 + dbid % 2,
        "tenantDBID": 1,
        "userName": f"user{dbid}",
        "employeeID": f"e{dbid}",
        "firstName": 'a "quoted" \\ name',
        "isAgent": dbid % 3 == 0,
        "state": "enabled",
        "userProperties": {"a": {"b": ["{", "]", 1], "c": {}}},
    }


def worker_of(store: Store, lane: Lane, port: Any) -> tuple[socket.socket, Loop]:
    """A worker of the store with one port, and what it listens on."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    lane.loop = Loop(
        control=store.control,
        slot=0,
        data_fd=store.data_fd,
        listen_fds=[listener.fileno()],
        listen_ports=[0],
        ports=[port],
        wake_fd=-1,
        slow=lane,
        limits={
            "read_wait_ms": 1,
            "from_wait_ms": 1,
            "request_bytes": 1 << 20,
            "reply_bytes": 4 << 20,
        },
    )
    return listener, lane.loop


def check_left(loop: Loop) -> None:
    """Nothing is left behind by connections that have ended."""
    left = {name: value for name, value in loop.counters().items() if value}
    assert not left, f"left behind by a connection: {left}"


def converse(
    store: Store, data: bytes, lane: Lane | None = None, *, port: Port | None = None, cut: int = 0
) -> bytes:
    """Sends the bytes to a worker of the store, closes, and returns what it answered.

    With a cut what lies behind it follows when the first part was looked at.
    """
    listener, loop = worker_of(store, lane or Lane(), port or Port(0))
    replies = bytearray()
    with listener, socket.create_connection(listener.getsockname()) as client:
        client.setblocking(False)

        def read() -> None:
            try:
                got = client.recv(1 << 16)
            except BlockingIOError:
                return
            except ConnectionResetError:
                got = b""
            replies.extend(got)
            if not got:
                loop.remove_fd(client.fileno())
                loop.stop()

        def send_rest() -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                assert client.send(data[cut:]) == len(data) - cut
                client.shutdown(socket.SHUT_WR)

        assert client.send(data[:cut]) == cut
        if cut:
            loop.call_later(1, send_rest)
        else:
            send_rest()
        loop.add_fd(client.fileno(), read)
        loop.run()
    check_left(loop)
    assert loop.counters()["connections"] == 0
    return bytes(replies)
