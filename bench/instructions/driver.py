"""Does each kind of work twice, once with double the amount, between marks for callgrind.

Run by measure.py under valgrind: `driver MARKS.so`. The same bytes and choices each time; what does
not grow with the amount (Python, sockets, the turn of the loop) cancels in the difference.
"""

from __future__ import annotations

import ctypes
import socket
import sys
from collections.abc import Callable

from bench.skills import load_skills, skill, update_entry
from csp._fastpath import Loop, follow
from csp.model.entry import mark_of
from csp.model.types import FIRST_DBID
from csp.resp import request
from tests.neighbours.memory_store import MemoryStore

OBJECTS = 200
VALUE, PADDING = 100_000, 300  # skills of some 500 bytes
ROUNDS = 20
# The single amount.
AMOUNT = {"get": 50, "mget key": 50, "command": 100, "change": 200, "followed change": 200}
RESERVE_BYTES = 64 << 20


class Lane:
    """Signs in; knows nothing else."""

    loop: Loop

    def command(self, conn: int, args: list[bytes]) -> bytes | None:
        self.loop.session(conn).authenticated = True
        self.loop.session(conn).see_all()
        return b"+OK\r\n"

    def closed(self, conn: int, why: str) -> None: ...
    def writable(self, conn: int) -> None: ...
    def published(self, revision: int) -> None: ...


class Store(MemoryStore):
    """A store with some skills."""

    def __init__(self) -> None:
        super().__init__(RESERVE_BYTES)
        load_skills(self, OBJECTS, VALUE, padding=PADDING)

    def entries(self, count: int) -> list[bytes]:
        """Transactions that update one skill each, one continuing the other."""
        made, mark = [], self.writer.mark
        first = self.writer.published + 1
        for revision in range(first, first + count):
            dbid = FIRST_DBID + revision % OBJECTS
            before = skill(dbid, VALUE, padding=PADDING)
            after = skill(dbid, VALUE + revision, revision, padding=PADDING)
            made.append(update_entry(before, after, revision, revision, mark))
            mark = mark_of(made[-1])
        return made


def command(*words: str) -> bytes:
    """A request as an array of bulk strings."""
    parts = [b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words]
    return b"*%d\r\n" % len(words) + b"".join(parts)


class Client:
    """A connection to a loop of this process and thread."""

    def __init__(self, store: Store) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        lane = Lane()
        self.loop = lane.loop = Loop(
            control=store.control,
            slot=0,
            data_fd=store.data_fd,
            listen_fds=[self.listener.fileno()],
            wake_fd=-1,
            slow=lane,
            limits={},
        )
        self.socket = socket.create_connection(self.listener.getsockname())
        self.socket.setblocking(False)
        self.buffer = bytearray(1 << 20)

    def talk(self, batches: list[bytes], sizes: list[int]) -> None:
        """Sends each batch when all replies to the one before are there, then stops the loop."""
        steps = iter(zip(batches, sizes, strict=True))
        missing = 0

        def go_on() -> None:
            nonlocal missing
            if missing:
                missing -= self.socket.recv_into(self.buffer)
            if missing == 0:
                batch, missing = next(steps, (b"", 0))
                if not batch:
                    self.loop.stop()
                assert self.socket.send(batch) == len(batch)

        self.loop.add_fd(self.socket.fileno(), go_on)
        self.loop.call_later(0, go_on)
        self.loop.run()


def reads(marks: ctypes.CDLL, name: str, request: Callable[[int], bytes]) -> None:
    """Batches of one and of double the amount; sizes of the replies are learnt in a first run."""
    for times in (1, 2):
        batch = request(AMOUNT[name] * times)
        size = reply_size(batch)
        client = Client(Store())
        batches, sizes = [command("AUTH", "x"), batch, *([batch] * ROUNDS)], [5, size]
        sizes += [size] * ROUNDS
        marks.count_begin()
        client.talk(batches, sizes)
        marks.count_end(f"{name} {times}".encode())


def reply_size(batch: bytes) -> int:
    """Bytes of the replies to a batch."""
    client = Client(Store())
    got = 0
    client.socket.send(command("AUTH", "x") + batch)
    client.loop.call_later(300, client.loop.stop)
    client.loop.run()
    while True:
        try:
            got += client.socket.recv_into(client.buffer)
        except BlockingIOError:
            return got - 5


def changes(marks: ctypes.CDLL) -> None:
    """Entries applied one by one."""
    for times in (1, 2):
        store = Store()
        for entry in store.entries(AMOUNT["change"]):
            store.writer.apply(entry)
        made = store.entries(AMOUNT["change"] * times)
        marks.count_begin()
        for entry in made:
            store.writer.apply(entry)
        marks.count_end(f"change {times}".encode())


def followed_changes(marks: ctypes.CDLL) -> None:
    """Entries as a feed's frames, mark and all, in one piece."""
    for times in (1, 2):
        store = Store()
        for entry in store.entries(AMOUNT["followed change"]):
            store.writer.apply(entry)
        made = store.entries(AMOUNT["followed change"] * times)
        frames = memoryview(b"".join(request("change", entry) for entry in made))
        marks.count_begin()
        size, _ = follow(store.writer, frames)
        marks.count_end(f"followed change {times}".encode())
        assert size == len(frames)


def main(library: str) -> None:
    """All kinds."""
    marks = ctypes.CDLL(library)
    keys = [f"CfgSkill:{FIRST_DBID + number}" for number in range(100)]
    reads(marks, "get", lambda many: b"".join(command("GET", key) for key in keys[:many]))
    reads(marks, "mget key", lambda many: command("MGET", *keys[:many]))
    reads(marks, "command", lambda many: command("PING") * many)
    changes(marks)
    followed_changes(marks)


if __name__ == "__main__":
    main(sys.argv[1])
