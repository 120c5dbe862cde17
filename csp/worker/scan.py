"""SCAN, KEYS, RANDOMKEY, DBSIZE: the keyspace as Redis clients walk it.

1. A cursor is class number and DBID of the last key seen, so it is valid on any worker and proxy of
   the master, and a key that is there throughout the walk is returned exactly once.
2. KEYS works in slices between the turns of the loop; the others take one bounded step.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from csp.errors import CspError, TooBig
from csp.model.types import CLASSES, by_id
from csp.resp.encode import array, bulk, error, integer
from csp.worker.call import Call, Handler
from csp.worker.glob import Match, compile_glob
from csp.worker.ports import View
from csp.worker.refusal import SYNTAX, number, text_of
from csp.worker.slices import in_slices

COUNT_DEFAULT = 10
COUNT_MAX = 10_000  # keys looked at in one call: some 5 ms
KEYS_MAX = 1_000_000  # of one KEYS: a larger keyspace is for SCAN
SLICE_SECONDS = 0.005
DBID_BITS = 32
DBID_MAX = 2**DBID_BITS - 1

Place = tuple[int, int]  # class number, DBID
_CLASS_IDS = sorted(by_id)


def walk(reader: View, class_id: int, after: int, only: int | None) -> Iterator[Place]:
    """Every object after a place, by class number and DBID."""
    for known in _CLASS_IDS:
        if known < class_id or (only is not None and known != only):
            continue
        dbid = after if known == class_id else 0
        while dbid := reader.next_dbid(known, dbid):
            yield known, dbid


def key_of(class_id: int, dbid: int) -> bytes:
    """An object's key."""
    return b"%b:%d" % (by_id[class_id].name.encode(), dbid)


def scan(call: Call) -> bytes:
    """SCAN cursor [MATCH pattern] [COUNT count] [TYPE class]"""
    cursor = _cursor(call.args[1])
    matches, count, only, none = _options(call.args[2:])
    if none:
        return _page(0, [])
    reader = call.reader
    found: list[bytes] = []
    places = walk(reader, cursor >> DBID_BITS, cursor & DBID_MAX, only)
    for seen, (class_id, dbid) in enumerate(places, 1):
        key = key_of(class_id, dbid)
        if matches(key):
            found.append(key)
        if seen >= count:
            return _page(class_id << DBID_BITS | dbid, found)
    return _page(0, found)


def _page(cursor: int, keys: list[bytes]) -> bytes:
    return array([bulk(b"%d" % cursor), array(map(bulk, keys))])


def _cursor(data: bytes) -> int:
    if not data.isdigit() or len(data) > 20 or int(data) >= 2**64:
        raise CspError("invalid cursor")
    return int(data)


def _options(args: list[bytes]) -> tuple[Match, int, int | None, bool]:
    """Match, count, only this class, and whether nothing can match."""
    matches: Match = lambda _: True  # noqa: E731
    count, only, none = COUNT_DEFAULT, None, False
    if len(args) % 2:
        raise CspError(SYNTAX)
    for option, value in zip(args[::2], args[1::2], strict=True):
        word = option.lower()
        if word == b"count":
            count = number(value)
            if count < 1:
                raise CspError(SYNTAX)
        elif word == b"match":
            matches = compile_glob(value)
        elif word == b"type":
            # Redis's own types: all keys here are strings.
            known = CLASSES.get(text_of(value))
            only = known.id if known else None
            none = known is None and value.lower() != b"string"
        else:
            raise CspError(SYNTAX)
    return matches, min(count, COUNT_MAX), only, none


def keys(call: Call) -> None:
    """KEYS pattern"""
    in_slices(call.lane.loop, _keys(call, compile_glob(call.args[1])))


def _keys(call: Call, matches: Match) -> Iterator[None]:
    lane, conn = call.lane, call.conn
    found: list[bytes] = []
    last: Place = (0, 0)
    while conn in lane.states:
        until = time.monotonic() + SLICE_SECONDS
        for last in walk(call.reader, *last, None):  # noqa: B020 it goes on from there
            key = key_of(*last)
            if matches(key):
                found.append(key)
            if len(found) > KEYS_MAX:
                lane.finish(conn, error(TooBig(f"more than {KEYS_MAX} keys: use SCAN").line))
                return
            if time.monotonic() > until:
                break
        else:
            lane.finish(conn, array(map(bulk, found)))
            return
        yield


def random_key(call: Call) -> bytes:
    """RANDOMKEY: a class by its share, then an object near a random DBID."""
    reader = call.reader
    counts = [reader.count(class_id) for class_id in _CLASS_IDS]
    if not any(counts):
        return call.encode(None)
    (class_id,) = random.choices(_CLASS_IDS, counts)
    after = random.randrange(_last_dbid(reader, class_id))
    return bulk(key_of(class_id, reader.next_dbid(class_id, after)))


def _last_dbid(reader: View, class_id: int) -> int:
    low, high = reader.next_dbid(class_id, 0), DBID_MAX
    while low < high:
        middle = (low + high) // 2
        following = reader.next_dbid(class_id, middle)
        if following:
            low = following
        else:
            high = middle
    return low


def db_size(call: Call) -> bytes:
    """DBSIZE"""
    reader = call.reader
    return integer(sum(reader.count(class_id) for class_id in _CLASS_IDS))


HANDLERS: dict[str, Handler] = {
    "scan": scan,
    "keys": keys,
    "randomkey": random_key,
    "dbsize": db_size,
}
