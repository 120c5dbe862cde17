"""Builds record images and log entries by hand, and says what a store must answer at each revision.

The bytes follow docs/internals/formats.md, not csp.model: a mistake there would else hide itself.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from csp._fastpath import Control, StoreReader, StoreWriter, crc32c

PERSON, GROUP, TENANT, FOLDER_CLASS, ACCOUNT, GRANTS = 3, 5, 7, 22, 250, 252
NAME, FOLDER, STATE, GROUP_OF = 1, 2, 3, 4
KEYS = (
    (NAME, PERSON, "name", 0),
    (FOLDER, PERSON, "list", 0),
    (STATE, PERSON, "list", 0),
    (GROUP_OF, PERSON, "list", GROUP),
)
ENTRY_FORMAT = 0x43535033
GRANTEE_KEY, GRANTS_KEY = 61, 62  # the store's own
TOMBSTONE, OWN_GRANTS = 1, 2
OWN_NODE = 0x8000
NOWHERE = (0, 0)


@dataclass(frozen=True)
class Thing:
    """One object, or the grants of one, as the model has it: its text and its index keys."""

    text: bytes
    keys: tuple[tuple[int, bytes, tuple[int, ...]], ...] = ()  # key_id, value, members
    container: tuple[int, int] = NOWHERE
    has_own_grants: bool = False

    def node(self, class_id: int, dbid: int) -> tuple[int, int]:
        """The name of what governs it, where it has this class and DBID itself."""
        if self.has_own_grants or class_id == TENANT:
            return class_id | OWN_NODE, dbid
        return self.container


State = Mapping[tuple[int, int], Thing]
Item = tuple[int, int, Thing | None]  # class, DBID, None: delete


def person(name: bytes, folder: int, state: bytes, text: bytes = b"{}") -> Thing:
    keys = ((NAME, name, ()), (FOLDER, number(folder), ()), (STATE, state, ()))
    return Thing(text, keys, (FOLDER_CLASS, folder))


def group(dbid: int, members: Iterable[int], text: bytes = b"{}") -> Thing:
    inside = tuple(sorted(members))
    keys = ((GROUP_OF, number(dbid), inside),) if inside else ()
    return Thing(text, keys, (FOLDER_CLASS, 1000 + dbid))


def granted(place: tuple[int, int], grants: Mapping[tuple[int, int], int]) -> Thing:
    """What is granted on an object: (class, DBID) of each account, and bits."""
    ordered = sorted(grants.items())
    rows = b"".join(struct.pack("<IHBB", dbid, cls, bits, 0) for (cls, dbid), bits in ordered)
    keys = [(GRANTEE_KEY, struct.pack("<II", dbid, cls), ()) for (cls, dbid), _ in ordered]
    return Thing(rows, (*keys, (GRANTS_KEY, struct.pack("<II", place[1], place[0]), ())), place)


def grants_of(thing: Thing) -> dict[tuple[int, int], int]:
    """The grants that `granted` was given."""
    return {(cls, dbid): bits for dbid, cls, bits, _ in struct.iter_unpack("<IHBB", thing.text)}


def number(value: int) -> bytes:
    return struct.pack("<I", value)


def image(class_id: int, dbid: int, revision: int, thing: Thing | None) -> bytes:
    """A record image; a tombstone for None."""
    reply = brief = keys = b""
    if thing is not None:
        reply, brief = thing.text, b""
        if class_id != GRANTS:
            reply, brief = b"$%d\r\n%s\r\n" % (len(reply), reply), b"$2\r\n{}\r\n"
        for key_id, value, members in sorted(thing.keys):
            keys += struct.pack("<HHI", key_id, len(value), len(members))
            keys += value.ljust((len(value) + 3) & ~3, b"\0")
            keys += b"".join(number(member) for member in members)
    size = (64 + len(reply) + len(brief) + len(keys) + 7) & ~7
    flags = TOMBSTONE if thing is None else OWN_GRANTS if thing.has_own_grants else 0
    lies_in, lies_at = NOWHERE if thing is None else thing.container
    head = struct.pack(
        "<QIHHIIIHHIIII", revision, dbid, class_id, flags, size,
        1, lies_at, lies_in, 0, len(reply), len(brief), len(keys), 0,
    )  # fmt: skip
    body = (head + reply + brief + keys).ljust(size - 16, b"\0")
    return struct.pack("<QII", 0, crc32c(body), 0) + body


def entry(revision: int, items: Sequence[Item], mark: int = 7, time_ms: int = 0) -> bytes:
    """A log entry with one event payload per item."""
    parts = []
    for class_id, dbid, thing in items:
        inside = b"" if thing is None else image(class_id, dbid, revision, thing)
        event = b'{"op":1'
        size = 64 + 8 + len(inside) + 8
        after = NOWHERE if thing is None else thing.node(class_id, dbid)
        operation = 3 if thing is None else 2
        head = struct.pack(
            "<IBBHIIIIIIHHIQQII", size, operation, 0, class_id, dbid, len(inside), len(event), 1,
            0, after[1], 0, after[0], 0, 0, 0, 0, 0,
        )  # fmt: skip
        parts += [head, struct.pack("<II", 1, 0), inside, event.ljust(8, b"\0")]
    rest = struct.pack("<IQQqIIQQ", len(items), revision, mark, time_ms, 0, 0, 0, 0)
    rest += b"".join(parts)
    return struct.pack("<III", ENTRY_FORMAT, len(rest) + 12, crc32c(rest)) + rest


@dataclass
class Stage:
    """A store in two memory files, and the state that belongs to each of its revisions."""

    reserve_bytes: int = 32 << 20
    collide: bool = False
    log_bytes: int = 0
    states: dict[int, dict[tuple[int, int], Thing]] = field(default_factory=dict)
    accounts: dict[int, dict[int, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.control_fd = os.memfd_create("control")
        self.data_fd = os.memfd_create("data")
        os.ftruncate(self.control_fd, Control.SIZE)
        self.control = Control(self.control_fd, format=True)
        self.writer = StoreWriter(
            self.data_fd, self.control, reserve_bytes=self.reserve_bytes, format=True, keys=KEYS,
            collide=self.collide, log_bytes=self.log_bytes, log_age_ms=0,
        )  # fmt: skip

    def close(self) -> None:
        os.close(self.control_fd)
        os.close(self.data_fd)

    def load(self, things: State, revision: int = 1) -> None:
        self.writer.load_begin(b"stream-of-16-byt")
        for (class_id, dbid), thing in things.items():
            self.writer.load(image(class_id, dbid, revision, thing))
        self.writer.load_end(revision, 7, 0)
        self.states[revision] = dict(things)

    def note(self, revision: int, items: Sequence[Item]) -> None:
        """The state after an entry."""
        state = dict(self.states[revision - 1])
        for class_id, dbid, thing in items:
            if thing is None:
                state.pop((class_id, dbid), None)
            else:
                state[class_id, dbid] = thing
        self.states[revision] = state

    def apply(self, items: Sequence[Item]) -> int:
        revision = self.writer.published + 1
        self.writer.apply(entry(revision, items, time_ms=revision))
        self.note(revision, items)
        return revision

    def successor(self, steps: int = 7) -> dict[str, int]:
        """Another writer takes over, as after a kill, and walks all of the store."""
        self.take_over()
        while self.writer.walk(steps=steps):
            pass
        self.writer.reclaim()
        return self.writer.walked()

    def take_over(self, *, check: bool = False) -> None:
        """Another writer takes over; with `check` it has walked as well, and found all sound."""
        self.writer = StoreWriter(
            self.data_fd, self.control, reserve_bytes=self.reserve_bytes, format=False,
            log_bytes=self.log_bytes, log_age_ms=0,
        )  # fmt: skip
        self.writer.recover(check=check)

    def reader(self, slot: int) -> StoreReader:
        return StoreReader(self.data_fd, self.control, slot)


def lists_of(state: State) -> dict[tuple[int, bytes], list[int]]:
    """Every key and value with the DBIDs found under it."""
    found: dict[tuple[int, bytes], set[int]] = {}
    for (class_id, dbid), thing in state.items():
        for key_id, value, members in thing.keys if class_id != GRANTS else ():
            found.setdefault((key_id, value), set()).update(members or (dbid,))
    return {key: sorted(dbids) for key, dbids in found.items()}


def check_nodes(reader: StoreReader, state: State) -> None:
    """Which node governs how many objects, and where each node hangs."""
    counts: dict[tuple[int, tuple[int, int]], int] = {}
    for (class_id, dbid), thing in state.items():
        if class_id == GRANTS:
            continue
        node = thing.node(class_id, dbid)
        counts[class_id, node] = counts.get((class_id, node), 0) + 1
    numbers = {(class_id, dbid): at for at, class_id, dbid, _ in reader.raw_nodes()}
    for number_, class_id, dbid, above in reader.raw_nodes():
        thing_ = state.get((class_id & ~OWN_NODE, dbid))
        is_tenant = class_id & ~OWN_NODE == TENANT
        hangs = NOWHERE if thing_ is None or is_tenant else thing_.container
        assert above == numbers.get(hangs, 0)
        for governed in (PERSON, GROUP, TENANT, FOLDER_CLASS):
            found = reader.raw_node_count(governed, number_)
            assert found == counts.pop((governed, (class_id, dbid)), 0)
    assert not [node for _, node in counts if node != NOWHERE]


def check_grants(reader: StoreReader, state: State) -> None:
    """What is granted on each object, and to each account."""
    here = {thing.container: key for key, thing in state.items() if key[0] == GRANTS}
    to: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for place in {*state, *here}:
        found = reader.raw_grants(*place)
        if place not in here:
            assert found is None, place
            continue
        thing = state[here[place]]
        assert found is not None, place
        assert found[64 : 64 + len(thing.text)] == thing.text
        assert reader.raw_image(*here[place]) == found
        for account in grants_of(thing):
            to.setdefault(account, set()).add(place)
    for account in {*to, *state, (0, 0)}:
        assert set(reader.raw_granted(*account)) == to.get(account, set())
    assert (reader.count(GRANTS), reader.next_dbid(GRANTS, 0)) == (0, 0)


def check_reader(reader: StoreReader, state: State, values: Iterable[tuple[int, bytes]]) -> None:
    """All that a pinned reader answers is what the state says; `values` are asked besides."""
    for class_id in (PERSON, GROUP):
        inside = {dbid: thing for (cls, dbid), thing in state.items() if cls == class_id}
        assert reader.count(class_id) == len(inside)
        assert reader.select(class_id, [], 0, 1 << 30) == sorted(inside)
        for dbid, thing in inside.items():
            assert reader.get(class_id, dbid) == thing.text
    check_nodes(reader, state)
    check_grants(reader, state)
    lists = lists_of(state)
    for key_id, value in {*values, *lists}:
        assert reader.find(key_id, value) == lists.get((key_id, value), []), (key_id, value)
    assert reader.get(GROUP, 0xFFFFFFFF) is None
