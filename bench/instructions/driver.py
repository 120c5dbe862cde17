"""Does each kind of work twice, once with double the amount, between marks for callgrind.

Run by measure.py under valgrind: `driver MARKS.so`. The same bytes and choices each time; what does
not grow with the amount (Python, sockets, the turn of the loop) cancels in the difference.
"""

from __future__ import annotations

import ctypes
import socket
import sys
from collections.abc import Callable
from typing import ClassVar

from bench.skills import load_skills, skill, update_entry
from csp._fastpath import Loop, follow
from csp.model.entry import mark_of
from csp.model.rights import ACCESS_GROUP, EXECUTE, PERSON, PROPAGATE, READ
from csp.model.types import FIRST_DBID
from csp.resp import request
from tests.neighbours.memory_store import MemoryStore
from tests.property.granted_world import DEFAULT_APPLICATION, GrantedWorld, folder, group, person

OBJECTS = 200
VALUE, PADDING = 100_000, 300  # skills of some 500 bytes
ROUNDS = 20
WARM = 20  # rounds before those that count: Python specializes its code within the first few
SIGNED_IN = len(b"+OK\r\n+PONG\r\n")
LAST = b"$4\r\nlast\r\n"
NODES, READER = 20_000, 105
FIRST_FOLDER, FIRST_HIDDEN = 10_000, 1_000_000
# The single amount.
AMOUNT = {
    "get": 50,
    "granted get": 50,
    "mget key": 50,
    "command": 100,
    "change": 200,
    "followed change": 200,
}
RESERVE_BYTES = 64 << 20


class Lane:
    """Signs in, as somebody who sees all, or as a person; knows nothing else."""

    loop: Loop

    def command(self, conn: int, args: list[bytes]) -> bytes | None:
        session = self.loop.session(conn)
        session.authenticated = True
        if len(args) == 3:
            session.account_dbid = int(args[2])
        else:
            session.see_all()
        return b"+OK\r\n"

    def closed(self, conn: int, why: str) -> None: ...
    def writable(self, conn: int) -> None: ...
    def published(self, revision: int) -> None: ...
    def accounts_changed(self, accounts: list[int] | None) -> None: ...
    def attached(self) -> None: ...


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


class GrantedStore(MemoryStore):
    """Skills under some of 20,000 nodes, half of which a group may read, and a member of it."""

    _images: ClassVar[list[bytes]] = []

    def __init__(self) -> None:
        super().__init__(RESERVE_BYTES)
        if not self._images:
            self._images.append(b"".join(granted_world().images()))
        self.writer.load(self._images[0])
        self.publish()


def granted_world() -> GrantedWorld:
    """The estate of GrantedStore: each skill lies in a folder that may be read."""
    world = GrantedWorld()
    reader = ACCESS_GROUP.id, 301
    world.put("CfgTenant", 1, name="t1", state="enabled", folderDBID=0)
    world.put("CfgFolder", 201, **folder(201, 0))
    world.put("CfgPerson", READER, **person(READER, 0))
    world.put("CfgAccessGroup", 301, **group(301, [(PERSON.id, READER)]))
    world.put("CfgApplication", 100, name="default", type="genericclient", folderDBID=0)
    world.add(DEFAULT_APPLICATION, reader, READ | EXECUTE)
    for at in range(NODES // 2):  # a node for what lies in it, and one of its own grants
        place = world.put("CfgFolder", FIRST_FOLDER + at, **folder(FIRST_FOLDER + at, 201))
        world.add(place, reader, PROPAGATE | (READ if at % 2 == 0 else 0))
        one = skill(FIRST_DBID + at, VALUE, padding=PADDING) | {"folderDBID": place[1]}
        if at % 2 == 0 and at // 2 < OBJECTS:
            one["DBID"], one["name"] = FIRST_DBID + at // 2, f"skill{at // 2}"
        else:
            one["DBID"], one["name"] = FIRST_HIDDEN + at, f"hidden{at}"
            one["userProperties"] = {}
        del one["revision"]
        world.put("CfgSkill", one.pop("DBID"), **one)
    return world


def command(*words: str) -> bytes:
    """A request as an array of bulk strings."""
    parts = [b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words]
    return b"*%d\r\n" % len(words) + b"".join(parts)


class Client:
    """A connection to a loop of this process and thread."""

    def __init__(self, store: MemoryStore) -> None:
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

    def talk(self, batches: list[bytes], sizes: list[int], marks: ctypes.CDLL, name: str) -> None:
        """Sends each batch when all replies to the one before are there; counts the last ROUNDS."""
        first = len(batches) - ROUNDS
        begin, end = marks.count_begin, marks.count_end  # ctypes makes them when first asked
        label = name.encode()
        steps = iter(zip(range(len(batches)), batches, sizes, strict=True))
        missing = 0

        def go_on() -> None:
            nonlocal missing
            if missing:
                missing -= self.socket.recv_into(self.buffer)
            if missing == 0:
                number, batch, missing = next(steps, (-1, b"", 0))
                if number == first:
                    begin()
                if not batch:
                    end(label)
                    self.loop.stop()
                assert self.socket.send(batch) == len(batch)

        self.loop.add_fd(self.socket.fileno(), go_on)
        self.loop.call_later(0, go_on)
        self.loop.run()


def reads(
    marks: ctypes.CDLL,
    name: str,
    request: Callable[[int], bytes],
    store: Callable[[], MemoryStore] | None = None,
) -> None:
    """Batches of one and of double the amount; sizes of the replies are learnt in a first run.

    What comes once does not count: the sign-in, the picture of rights, Python's first calls, the
    loop's end. It would be in the smaller run of the first row only, and make that look cheaper.
    """
    store = store or Store
    # With a command behind it, which makes the picture of rights: that takes a turn of its own.
    who = ("x",) if store is Store else ("as", str(READER))
    sign_in = command("AUTH", *who) + command("PING")
    for times in (1, 2):
        batch = request(AMOUNT[name] * times)
        size = reply_size(store(), sign_in, batch)
        client = Client(store())
        batches = [sign_in, *([batch] * (WARM + ROUNDS))]
        sizes = [SIGNED_IN, *([size] * (WARM + ROUNDS))]
        client.talk(batches, sizes, marks, f"{name} {times}")


def reply_size(store: MemoryStore, sign_in: bytes, batch: bytes) -> int:
    """Bytes of the replies to a batch."""
    client = Client(store)
    got = bytearray()

    def take() -> None:
        got.extend(client.socket.recv(len(client.buffer)))
        if got.endswith(LAST):
            client.loop.stop()

    client.loop.add_fd(client.socket.fileno(), take)
    client.socket.send(sign_in + batch + command("PING", "last"))
    client.loop.run()
    return len(got) - SIGNED_IN - len(LAST)


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
    gets: Callable[[int], bytes] = lambda many: b"".join(command("GET", key) for key in keys[:many])  # noqa: E731
    reads(marks, "get", gets)
    reads(marks, "granted get", gets, GrantedStore)
    reads(marks, "mget key", lambda many: command("MGET", *keys[:many]))
    reads(marks, "command", lambda many: command("PING") * many)
    changes(marks)
    followed_changes(marks)


if __name__ == "__main__":
    main(sys.argv[1])
