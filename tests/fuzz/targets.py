"""The targets: functions that give any bytes to the compiled core and check what must hold.

Run by build.py inside a Python that has libFuzzer loaded; an exception is a finding like a crash.
`parser`    requests in pieces: any split gives the same commands or the same error
`requests`  a worker's connection over a small store, before and after sign-in, no leak
`glob`      patterns of channels: bounded time
`loose`     patterns compiled for changes: they match what they match as text
`fields`    an object's JSON, cut or senseless, and the attributes asked for: a frame of its bytes
`tracking`  caches of clients beside changes: what is remembered is told or forgotten, none is left
`tls`       ciphertext: a port that takes TLS, before, in and behind a handshake (tls_target.py)
`feed`      record images and log entries with right sums, whatever they say: refused, or served
"""

from __future__ import annotations

import ctypes
import functools
import os
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from csp._fastpath import (
    Loop,
    Matcher,
    Parser,
    StoreError,
    StoreReader,
    crc32c,
    match_glob,
    project_fields,
)
from csp.model.entry import Change, build_entry
from csp.model.extract import Nothing
from csp.model.image import build_image, parse_header
from csp.model.rights import ALL
from csp.model.types import CLASSES, GRANTS_CLASS_ID
from csp.tables.commands import BY_NUMBER
from tests.neighbours.memory_store import MemoryStore
from tests.property.log_items import item

RESERVE_BYTES = 16 << 20
GLOB_SECONDS_MAX = 0.5  # of processor time; patterns have at most 256 bytes
PATTERN_MAX = 256
PERSON_101, ADMINISTRATORS = (CLASSES["CfgPerson"].id, 101), (CLASSES["CfgAccessGroup"].id, 98)
CLASS_IDS = sorted(cls.id for cls in CLASSES.values())
ALWAYS_SHOWN = ("class", "DBID", "revision")
IMAGE_HEAD, ENTRY_HEAD, ITEM_HEAD = 64, 64, 64
COVERED_AT, SIZE_AT = 16, 32  # of an image: what its sum covers, and its size
EXTRAS_AT, REF_AT = 56, 48  # what of an entry, and to the end of an item's head, is a store's own
TRACKING_VERBS = (b"track", b"untrack", b"forget", b"caching", b"wrote", b"tell", b"change")
STRANGER = (7 << 6) | 1  # a connection of another worker
CHANGES_MAX, PREFIXES_MAX = 20, 20
QUESTIONS = (
    b"AUTH x\r\nDBSIZE\r\nMGET CfgPerson:101 CfgPerson:102 CfgPerson:103\r\nGET CfgPerson:101\r\n"
    b"STRLEN CfgPerson:101\r\nCFG.READ CfgPerson\r\nCFG.READ CfgPerson BRIEF\r\n"
    b"CFG.READ CfgPerson FIELDS 2 userName state\r\nCFG.FIND CfgPerson FILTER user_name user101\r\n"
    b"CFG.COUNT CfgPerson FILTER state enabled\r\nCFG.READ CfgPerson FILTER folder_dbid 101\r\n"
)


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


def parser(data: bytes) -> None:
    """The first byte chooses sign-in, the second how long the pieces are."""
    if len(data) < 2:
        return
    signed_in, step, rest = bool(data[0] & 1), data[1] + 1, data[2:]

    def outcome(step: int) -> list[list[bytes]] | str:
        one = Parser(max_request=1 << 20, max_args=4096)
        found: list[list[bytes]] = []
        try:
            for at in range(0, len(rest), step):
                found += one.feed(rest[at : at + step], signed_in)
        except ValueError as error:
            return str(error)
        return found

    whole, pieces = outcome(max(1, len(rest))), outcome(step)
    assert whole == pieces, (whole, pieces)


def glob(data: bytes) -> None:
    """Pattern and channel, parted by a zero byte."""
    pattern, _, text = data.partition(b"\0")
    before = time.thread_time()
    match_glob(pattern[:PATTERN_MAX], text)
    assert time.thread_time() - before < GLOB_SECONDS_MAX


def loose(data: bytes) -> None:
    """A class, a DBID, then a pattern: compiled it finds the name of the object that it matches."""
    class_id = CLASS_IDS[data[0] % len(CLASS_IDS)] if data else CLASS_IDS[0]
    changed = item(class_id, int.from_bytes(data[1:5], "little") or 1, [1, 4711])
    pattern = data[5 : 5 + PATTERN_MAX]
    matcher = Matcher()
    matcher.add(pattern, True)
    found = [name for _, _, name in matcher.match(changed)]
    fitting = [name for name in matcher.names(changed) if match_glob(pattern, name)]
    assert found == fitting[:1], (found, fitting)


def fields(data: bytes) -> None:
    """Names parted by spaces, a zero byte, the JSON."""
    asked, _, json = data.partition(b"\0")
    names = asked.split(b" ")
    frame = project_fields(json, names)
    head, _, rest = frame.partition(b"\r\n")
    assert head == b"$%d" % (len(rest) - 2), frame
    assert rest[:1] == b"{", frame
    assert rest[-3:] == b"}\r\n", frame
    # Each attribute once, a comma behind each that is shown, braces, line end.
    assert len(rest) <= len(json) + len(names) + len(ALWAYS_SHOWN) + 4, frame


def converse(store: Store, data: bytes, lane: Lane | None = None) -> bytes:
    """Sends the bytes to a worker of the store, closes, and returns what it answered."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    lane = lane or Lane()
    loop = lane.loop = Loop(
        control=store.control,
        slot=0,
        data_fd=store.data_fd,
        listen_fds=[listener.fileno()],
        wake_fd=-1,
        slow=lane,
        limits={
            "read_wait_ms": 1,
            "from_wait_ms": 1,
            "request_bytes": 1 << 20,
            "reply_bytes": 4 << 20,
        },
    )
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

        assert client.send(data) == len(data)
        client.shutdown(socket.SHUT_WR)
        loop.add_fd(client.fileno(), read)
        loop.run()
    left = {name: value for name, value in loop.counters().items() if value}
    assert not left, f"left behind by a connection: {left}"
    assert loop.counters()["connections"] == 0
    return bytes(replies)


class TrackingLane(Lane):
    """Lets a connection track in any way, and changes what it reads."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def command(self, conn: int, args: list[bytes]) -> bytes | None:
        verb, words = args[0].lower(), args[1:]
        tracking, session = self.loop.tracking, self.loop.session(conn)
        numbers = [int(word) % 2**32 for word in words if word[:19].isdigit()] or [0]
        if verb == b"reset":
            tracking.reset(conn)
        if verb == b"cfg.from" and tracking.info(conn) is not None:
            return b"-ERR it has a cursor\r\n"
        if not session.authenticated or verb not in TRACKING_VERBS:
            return super().command(conn, args)
        if verb == b"track":
            return self._track(conn, session.id, numbers[0], words[1:])
        if verb == b"untrack":
            tracking.end(conn)
        elif verb == b"forget":
            tracking.forget(conn)
        elif verb == b"caching" and tracking.info(conn) is not None:
            tracking.caching(conn)
        elif verb == b"wrote":
            tracking.wrote(conn, numbers[0])
        elif verb == b"tell":
            tracking.tell(conn, words or None)
        elif verb == b"change":
            for number in numbers[:CHANGES_MAX]:
                self.store.change(number)
            # What stands behind it is for the next turn, which tells of the change first.
            self.loop.call_later(0, lambda: self.loop.reply(conn, b"+OK\r\n"))
            return None
        return b"+OK\r\n"

    def _track(self, conn: int, own: int, flags: int, prefixes: list[bytes]) -> bytes:
        """Any modes that CLIENT TRACKING lets pass; to itself, to a stranger, or plainly."""
        tracking = self.loop.tracking
        bcast = bool(flags & 1)
        now = tracking.info(conn)
        if not tracking.may_begin(conn) or (now is not None and now["bcast"] != bcast):
            return b"-ERR not now\r\n"
        taken = list(now["prefixes"]) if now is not None else []
        chosen: list[bytes] = []
        for prefix in prefixes[:PREFIXES_MAX] if bcast else []:
            known = [*taken, *chosen]
            if not any(prefix.startswith(one) or one.startswith(prefix) for one in known):
                chosen.append(prefix[:PATTERN_MAX])
        if bcast and not taken and not chosen:
            chosen = [b""]
        tracking.begin(
            conn,
            prefixes=chosen,
            redirect={16: own, 32: STRANGER}.get(flags & 48, 0),
            bcast=bcast,
            optin=bool(flags & 2) and not bcast,
            optout=flags & 6 == 4 and not bcast,
            noloop=bool(flags & 8),
        )
        return b"+OK\r\n"

    def invalidate(self, target: int, keys: list[bytes] | None) -> None:
        """Nobody is there."""
        assert target == STRANGER


def tracking(data: bytes) -> None:
    """One connection that tracks, changes of what it reads, and its end."""
    store = Store()
    lane = TrackingLane(store)
    try:
        store.people()
        store.publish()
        converse(store, data[:60000], lane)
        left = store.control.slot_counters(0)
        names = ("tracking_clients", "tracked_keys", "tracking_prefixes")
        assert not any(left[name] for name in names), left
    finally:
        del lane.loop  # which has the lane: the store's memory would wait for the collector
        store.close()


_people: list[Store] = []


def requests(data: bytes) -> None:
    """One connection to a worker; its replies are RESP."""
    if not _people:
        _people.append(Store())
        _people[0].people()
        _people[0].publish()
    converse(_people[0], data[:60000])


def feed(data: bytes) -> None:
    """The first byte chooses: images to load, or an entry to load or to apply. Sums are mended."""
    if len(data) < 9:
        return
    way, body = data[0] % 3, bytearray(data[1:])
    store = Store()
    try:
        _take(store, way, body)
        if not store.writer.loaded:
            store.publish()
        converse(store, QUESTIONS)
        reader = StoreReader(store.data_fd, store.control, 1)
        reader.pin()
        reader.find(1, b"user101")
        _ask_rights(reader)
        reader.unpin()
    except StoreError:
        pass  # refused with words
    finally:
        store.close()


def _ask_rights(reader: StoreReader) -> None:
    """Of all whose grants there are."""
    everybody = [ADMINISTRATORS, PERSON_101, (0, 0)]
    number = reader.raw_next_dbid(GRANTS_CLASS_ID, 0)
    while number:
        place = parse_header(reader.raw_image(GRANTS_CLASS_ID, number) or b"").container
        reader.raw_grants(*place)
        assert 0 <= reader.raw_rights(*place, everybody) <= ALL
        number = reader.raw_next_dbid(GRANTS_CLASS_ID, number)
    assert reader.raw_rights(*PERSON_101, everybody) <= ALL
    for account in everybody:
        reader.raw_granted(*account)
    reader.raw_nodes()


def _take(store: Store, way: int, body: bytearray) -> None:
    if way == 0:
        at = 0
        while at + IMAGE_HEAD <= len(body):
            at += max(8, _mend_image(body, at, len(body)))
        store.writer.load(bytes(body))
        return
    _mend_entry(body, 2)
    if way == 1:
        store.writer.load_entry(bytes(body))
        return
    store.people()
    store.publish()
    store.writer.apply(bytes(body))


def _mend_image(body: bytearray, at: int, end: int) -> int:
    (size,) = struct.unpack_from("<I", body, at + SIZE_AT)
    if IMAGE_HEAD <= size <= end - at:
        struct.pack_into("<I", body, at + 8, crc32c(body[at + COVERED_AT : at + size]))
    return int(size)


def _mend_entry(body: bytearray, revision: int) -> None:
    if len(body) < ENTRY_HEAD:
        return
    struct.pack_into("<I", body, 4, len(body))
    struct.pack_into("<Q", body, 16, revision)
    at = ENTRY_HEAD
    refs: list[int] = []
    while at + ITEM_HEAD <= len(body):
        size, _, _, _, _, image, _, tenants = struct.unpack_from("<IBBHIIII", body, at)
        refs.append(at + REF_AT)
        start = at + ITEM_HEAD + ((4 * tenants + 7) & ~7)
        if start + IMAGE_HEAD <= len(body) and image >= IMAGE_HEAD and start + image <= len(body):
            _mend_image(body, start, start + image)
        at += max(8, size)
    summed = bytearray(body)
    summed[EXTRAS_AT:ENTRY_HEAD] = bytes(ENTRY_HEAD - EXTRAS_AT)
    for ref in refs:
        summed[ref : ref + ITEM_HEAD - REF_AT] = bytes(ITEM_HEAD - REF_AT)
    struct.pack_into("<I", body, 8, crc32c(summed[12:]))


def tls(data: bytes) -> None:
    """Stands in a file of its own, which needs this one."""
    from tests.fuzz import tls_target

    tls_target.tls(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "parser": parser,
    "requests": requests,
    "glob": glob,
    "loose": loose,
    "fields": fields,
    "tracking": tracking,
    "tls": tls,
    "feed": feed,
}


def main(target: Callable[[bytes], None], driver: str, arguments: list[str]) -> int:
    """Hands the thread to libFuzzer."""

    def one(start: Any, size: int) -> int:
        try:
            target(ctypes.string_at(start, size))
        except BaseException:  # noqa: BLE001 - libFuzzer writes the input down when we abort
            traceback.print_exc()
            sys.stderr.flush()
            os.abort()
        return 0

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    entry = kind(one)
    words = [b"fuzz", *(argument.encode() for argument in arguments)]
    argc = ctypes.c_int(len(words))
    argv = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    start = ctypes.cast(argv, ctypes.POINTER(ctypes.c_char_p))
    run = ctypes.PyDLL(driver).LLVMFuzzerRunDriver
    return int(run(ctypes.byref(argc), ctypes.byref(start), entry))


if __name__ == "__main__":
    sys.exit(main(TARGETS[sys.argv[2]], sys.argv[1], sys.argv[3:]))
