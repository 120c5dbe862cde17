"""The targets: functions that give any bytes to the compiled core and check what must hold.

Run by build.py inside a Python that has libFuzzer loaded; an exception is a finding like a crash.
`parser`    requests in pieces: any split gives the same commands or the same error
`requests`  a worker's connection over a small store, before and after sign-in, no leak
`proxy`     what comes first behind a balancer: in any pieces it is read alike, and the rest served
`glob`      patterns of channels: bounded time
`loose`     patterns compiled for changes: they match what they match as text
`fields`    an object's JSON, cut or senseless, and the attributes asked for: a frame of its bytes
`tracking`  caches of clients beside changes: what is remembered is told or forgotten, none is left
`tls`       ciphertext: a port that takes TLS, before, in and behind a handshake (tls_target.py)
`feed`      record images and log entries with right sums, whatever they say: refused, or served
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import time
import traceback
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from csp._fastpath import (
    Matcher,
    Parser,
    StoreError,
    StoreReader,
    crc32c,
    match_glob,
    project_fields,
    read_proxy_header,
)
from csp.model.image import parse_header
from csp.model.rights import ALL
from csp.model.types import CLASSES, GRANTS_CLASS_ID
from csp.process.ports import Port
from tests.fuzz.conversing import Lane, Store, converse
from tests.property.log_items import item

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
TIMED = (b"from", b"minrev")  # what waits a millisecond, which may pass sooner or later
BEHIND = Port(0, proxy_from=(ip_network("127.0.0.0/8"),))
QUESTIONS = (
    b"AUTH x\r\nDBSIZE\r\nMGET CfgPerson:101 CfgPerson:102 CfgPerson:103\r\nGET CfgPerson:101\r\n"
    b"STRLEN CfgPerson:101\r\nCFG.READ CfgPerson\r\nCFG.READ CfgPerson BRIEF\r\n"
    b"CFG.READ CfgPerson FIELDS 2 userName state\r\nCFG.FIND CfgPerson FILTER user_name user101\r\n"
    b"CFG.COUNT CfgPerson FILTER state enabled\r\nCFG.READ CfgPerson FILTER folder_dbid 101\r\n"
)


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


def proxy(data: bytes) -> None:
    """Two bytes say where it is cut; what follows a header gets what it gets without one."""
    if not _people:
        _people.append(Store())
        _people[0].people()
        _people[0].publish()
    sent = data[2:60000]
    cut = int.from_bytes(data[:2], "little") % (len(sent) + 1)
    size = _header_size(sent)
    for length in (cut, max(size, 0), max(size - 1, 0)):
        seen = _header_size(sent[:length])
        assert seen == (size if length >= size else 0) or (seen == 0 and size < 0), (seen, size)
    if size <= 0:
        assert not converse(_people[0], sent, port=BEHIND, cut=cut)
    else:
        answered = converse(_people[0], sent, port=BEHIND, cut=cut % (size + 1))
        is_timed = any(word in sent.lower() for word in TIMED)
        assert is_timed or answered == converse(_people[0], sent[size:])


def _header_size(data: bytes) -> int:
    """How long the header is; 0: it goes on; -1: there is none."""
    try:
        return read_proxy_header(data)[0]
    except ValueError:
        return -1


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
    "proxy": proxy,
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
