"""CFG.SUMS: sums over the records as they lie in shared memory, for `csp verify` to compare.

1. A sum does not depend on the order of records: two servers agree exactly if their records do.
2. PIN keeps one revision readable for a connection, in a guest slot, for GUEST_PIN_MS_MAX at most.
3. The work is done in slices between the turns of the loop.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from csp.errors import BadClass, BadValue, Busy, CspError, Stale
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES, GRANTS_CLASS_ID, by_id
from csp.process.roles import READING
from csp.resp.encode import OK, encode, error, integer
from csp.resp.values import Value
from csp.store.control import GUEST_PIN_MS_MAX
from csp.worker.asking import ask
from csp.worker.call import Call, Handler, Lane
from csp.worker.guest import Guest
from csp.worker.ports import Reader
from csp.worker.refusal import NOT_INTEGER, SYNTAX, number, text_of
from csp.worker.scoped import check_whole
from csp.worker.slices import in_slices

REACH_MS = 10_000
SLICE_SECONDS = 0.005
RANGE_SIZE = 512  # DBIDs a step: some 0.5 ms of records
DBID_MAX = 2**32 - 1
SUMS_MS_MAX = 3_600_000  # of a database, one question at a time
PIN = "sums pin"
GUESTS_MAX = 2  # of one worker: the guest slots are the whole server's
# What the records are called that are no objects.
INNER = {"account": ACCOUNT_CLASS_ID, "grants": GRANTS_CLASS_ID}
INNER_NAMES = {class_id: name for name, class_id in INNER.items()}


@dataclass(frozen=True)
class Wish:
    """What to sum."""

    class_ids: list[int]
    low: int = 0
    high: int = DBID_MAX


def sums(call: Call) -> bytes | None:
    """CFG.SUMS PIN | UNPIN | AT revision [range] | DATABASE [range]; CLASS c [RANGE lo hi]"""
    check_whole(call)
    verb = call.args[1].upper()
    if verb == b"PIN" and len(call.args) == 2:
        return _pin(call)
    if verb == b"UNPIN" and len(call.args) == 2:
        _unpin(call)
        return OK
    if verb == b"AT" and len(call.args) > 2:
        _at(call, number(call.args[2], NOT_INTEGER), _wish(call.args[3:]))
        return None
    if verb == b"DATABASE":
        _database(call, call.args[2:])
        return None
    raise CspError(SYNTAX)


def _pin(call: Call) -> bytes:
    _unpin(call)
    lane, state, conn = call.lane, call.state, call.conn
    if len(lane.guests) >= GUESTS_MAX:
        raise Busy(f"{GUESTS_MAX} revisions are pinned here already")
    guest = Guest(*lane.open_guest())
    lane.guests[conn] = guest
    state.on_close[PIN] = lambda: _drop(lane, conn, guest)
    lane.loop.call_later(GUEST_PIN_MS_MAX, lambda: _drop(lane, conn, guest))
    return integer(guest.revision)


def _unpin(call: Call) -> None:
    undo = call.state.on_close.get(PIN)
    if undo is not None:
        undo()


def _drop(lane: Lane, conn: int, guest: Guest) -> None:
    if lane.guests.get(conn) is guest:
        del lane.guests[conn]
        guest.close()
        state = lane.states.get(conn)
        if state is not None:
            state.on_close.pop(PIN, None)


def _wish(args: list[bytes]) -> Wish:
    everything = [*sorted(by_id), *INNER_NAMES]
    if not args:
        return Wish(everything)
    if len(args) not in (2, 5) or args[0].upper() != b"CLASS":
        raise CspError(SYNTAX)
    class_ids = [_class_id(args[1])]
    if len(args) == 2:
        return Wish(class_ids)
    if args[2].upper() != b"RANGE":
        raise CspError(SYNTAX)
    low, high = number(args[3], NOT_INTEGER), number(args[4], NOT_INTEGER)
    if not 0 <= low <= high <= DBID_MAX:
        raise BadValue(f"RANGE lo hi: 0 <= lo <= hi <= {DBID_MAX}")
    return Wish(class_ids, low, high)


def _class_id(data: bytes) -> int:
    name = text_of(data)
    if name in INNER:
        return INNER[name]
    if name not in CLASSES:
        raise BadClass(f"there is no class {name}")
    return CLASSES[name].id


def _name(class_id: int) -> str:
    return INNER_NAMES.get(class_id) or by_id[class_id].name


def _at(call: Call, revision: int, wish: Wish) -> None:
    lane, conn, proto = call.lane, call.conn, call.proto
    guest = lane.guests.get(conn)
    if guest is None:
        raise CspError("CFG.SUMS AT needs a CFG.SUMS PIN before it")
    if revision < guest.revision:
        raise BadValue(f"revision {revision} is older than the pinned {guest.revision}")

    def reached(there: bool) -> None:
        if there:
            in_slices(lane.loop, summed())
            return
        text = f"revision {revision} is not here after {REACH_MS} ms"
        lane.finish(conn, error(Stale(text).line))

    found: dict[Value, Value] = {}
    steps = _steps(guest.reader, revision, wish, found)

    def summed() -> Iterator[None]:
        while conn in lane.states:
            if lane.guests.get(conn) is not guest:
                lane.finish(conn, error(Busy(f"the pin ended after {GUEST_PIN_MS_MAX} ms").line))
                return
            until = time.monotonic() + SLICE_SECONDS
            if all(time.monotonic() <= until for _ in steps):
                lane.finish(conn, encode([revision, found], proto))
                return
            yield

    lane.publications.wait(revision, REACH_MS, reached)


def _steps(reader: Reader, revision: int, wish: Wish, found: dict[Value, Value]) -> Iterator[None]:
    """Adds up class after class, some DBIDs a step; empty stretches in larger and larger steps."""
    for class_id in wish.class_ids:
        count = total = 0
        low, size = wish.low, RANGE_SIZE
        while low <= wish.high:
            high = min(low + size - 1, wish.high)
            more, part = reader.raw_sums(class_id, revision, low, high)
            count, total = count + more, (total + part) % 2**64
            size = RANGE_SIZE if more else size * 8
            low = high + 1
            yield
        found[_name(class_id)] = [count, f"{total:016x}"]


def _database(call: Call, args: list[bytes]) -> None:
    proto, wish = call.proto, _wish(args)
    words = ["DATABASE"]
    if args:
        words += [str(wish.class_ids[0]), str(wish.low), str(wish.high)]

    def done(parts: list[bytes]) -> bytes:
        told = orjson.loads(parts[1])
        found: dict[Value, Value] = {
            _name(int(class_id)): list(pair) for class_id, pair in told.items()
        }
        return encode([int(parts[0]), found], proto)

    lane = call.lane
    if lane.info.mode not in READING.modes:
        raise CspError("this server is a proxy: ask its master for the sums of the database")
    ask(call, lane.reading, "SUMS", *words, done=done, within_ms=SUMS_MS_MAX)


HANDLERS: dict[str, Handler] = {"cfg.sums": sums}
