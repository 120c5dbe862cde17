"""Builds and parses change log entries: one transaction as bytes (docs/internals/formats.md).

1. The parts stand in the order of the changes: what referred to a deleted object changes first, the
   deletion is last.
2. The mark chains: it is a digest of the previous mark and of all the entry says, so equal
   (revision, mark) means equal history.
3. No event holds a secret; an event is JSON without its end, the worker appends `,"more":…}`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from csp._fastpath import crc32c, next_mark
from csp.errors import TooBig
from csp.model.difference import make_delta
from csp.model.extract import Lookup, Nothing, Object
from csp.model.grants import GrantsChange, grants_event
from csp.model.image import json_of
from csp.model.keys import TABLE_DIGEST
from csp.model.places import NOWHERE, Place, node_of, placing, tenants_of
from csp.model.types import ACCOUNT_CLASS_ID, ENVIRONMENT, GRANTS_CLASS_ID, ObjectClass

FORMAT = 0x43535033
# A proxy takes no longer string (csp.resp), and the size has 32 bits: refused before the commit.
ENTRY_BYTES_MAX = 512 * 1024 * 1024
HEADER_SIZE = 64
CREATE, UPDATE, DELETE = 1, 2, 3
# What only servers carry has changed; to subscribers it is nothing.
KEYS = 4
OPS = {CREATE: "create", UPDATE: "update", DELETE: "delete"}
OP_NUMBERS = {name: number for number, name in OPS.items()}
# Entry flag: a difference between two generations, not one transaction.
DIFFERENCE = 1
# Item flag: the object's account record changed too.
ACCOUNT_CHANGED = 1
# Item flag: who doesn't know its op passes the item over.
SKIPPABLE = 128

# format size crc item_count revision mark time flags spare table extras.
_HEADER = struct.Struct("<IIIIQQqIIQQ")
# From byte 12 on, which the crc covers.
_COVERED = struct.Struct("<IQQqIIQQ")
# size op flags class_id dbid image_size event_size tenant_count before_dbid after_dbid before_class
# after_class spare base; then what belongs to a store: ref node_before node_after.
_ITEM = struct.Struct("<IBBHIIIIIIHHIQQII")
_CRC_AT = 8
_MARK_AT = 24


@dataclass(slots=True)
class Change:
    """One object's change inside a transaction."""

    op: str
    cls: ObjectClass
    dbid: int
    before: Object | None = None
    after: Object | None = None
    # None: made from before and after.
    delta: Mapping[str, Any] | None = None
    account_changed: bool = False
    # None: worked out from before and after.
    tenants: frozenset[int] | None = None
    # The nodes that governed the object before and do after; None: worked out, by `own`.
    nodes: tuple[Place, Place] | None = None
    # Whether its records say that it has grants of its own: that before, and that after.
    own: tuple[bool, bool] = (False, False)

    @property
    def base(self) -> int:
        """The revision of the object that it changes; 0 of a create."""
        return int(self.before["revision"]) if self.before is not None else 0


class Item(NamedTuple):
    """One change as an entry holds it."""

    op: str
    flags: int
    class_id: int
    dbid: int
    ref: int
    before: Place  # the node that governed the object
    after: Place  # and the one that does now
    base: int  # the object's revision before; 0 of a create
    tenants: tuple[int, ...]
    image: bytes
    event: bytes


class Entry(NamedTuple):
    """A parsed entry."""

    revision: int
    mark: int
    time_ms: int
    flags: int
    crc: int
    table: int
    items: tuple[Item, ...]


def _pad8(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 8)


def public_delta(cls: ObjectClass, delta: Mapping[str, Any]) -> Mapping[str, Any]:
    """The delta without secrets."""
    changed = delta.get("changed")
    if not cls.secrets or not changed or not cls.secrets.intersection(changed):
        return delta
    kept = {path: value for path, value in changed.items() if path not in cls.secrets}
    rest = {name: value for name, value in delta.items() if name != "changed"}
    return {"changed": kept, **rest} if kept else rest


def _delta(change: Change) -> Mapping[str, Any]:
    if change.delta is not None:
        return public_delta(change.cls, change.delta)
    if change.before is None or change.after is None:
        raise ValueError(f"{change.cls.name}:{change.dbid}: an update has a before and an after")
    return make_delta(change.cls, change.before, change.after)


def _tail_of(time_ms: int, actor: Mapping[str, Any]) -> bytes:
    """When, and by whom: the same in every event of a transaction."""
    if not actor:
        return b',"time":%d' % time_ms
    return b',"time":%d,"actor":%b' % (time_ms, orjson.dumps(actor))


def _event(change: Change, image: bytes, revision: int, tail: bytes) -> bytes:
    """The message's payload for a change, without its end."""
    head = b'{"op":"%b","class":"%b","DBID":%d,"revision":%d' % (
        change.op.encode(),
        change.cls.name.encode(),
        change.dbid,
        revision,
    )
    if change.op == "create":
        head += b',"object":' + json_of(image)
    elif change.op == "update":
        head += b',"base":%d,"delta":%b' % (change.base, orjson.dumps(_delta(change)))
    return head + tail


def _tenants(change: Change, look: Lookup) -> list[int]:
    if change.tenants is not None:
        return sorted(change.tenants) or [1]
    found: set[int] = set()
    for obj in (change.before, change.after):
        if obj is not None:
            found |= tenants_of(change.cls, obj, look)
    return sorted(found) or [1]


def _whereabouts(change: Change, look: Lookup) -> tuple[list[int], Place, Place]:
    """The tenants whose subscribers see it, and the nodes that governed the object and do now."""
    old, new = change.before, change.after
    is_stated = change.tenants is not None or change.nodes is not None
    own_before, own_after = change.own
    is_stated = is_stated or own_before != own_after
    if is_stated or old is None or new is None or not _stays(change.cls, old, new):
        return _tenants(change, look), *_nodes(change, look)
    node = node_of(change.cls, new, look, own=own_after)
    return sorted(tenants_of(change.cls, new, look)) or [1], node, node


def _stays(cls: ObjectClass, old: Object, new: Object) -> bool:
    """Whether nothing that says where an object lies has changed."""
    for name in placing(cls):
        was, now = old.get(name), new.get(name)
        if was is not now and was != now:
            return False
    return True


def _nodes(change: Change, look: Lookup) -> tuple[Place, Place]:
    if change.nodes is not None:
        return change.nodes
    before, after = (
        NOWHERE if obj is None else node_of(change.cls, obj, look, own=own)
        for obj, own in zip((change.before, change.after), change.own, strict=True)
    )
    return before, after


def _item(change: Change, image: bytes, event: bytes, look: Lookup) -> bytes:
    tenants, before, after = _whereabouts(change, look)
    flags = ACCOUNT_CHANGED if change.account_changed else 0
    head = OP_NUMBERS[change.op], flags, change.cls.id, change.dbid
    return _packed(head, tenants, before, after, change.base, image, event)


def _grants_item(change: GrantsChange, image: bytes, event: bytes) -> bytes:
    """Its places are no nodes: the object, before and after."""
    head = OP_NUMBERS[change.op], 0, GRANTS_CLASS_ID, change.number
    return _packed(head, [ENVIRONMENT], change.place, change.place, 0, image, event)


def _packed(
    head: tuple[int, int, int, int],
    tenants: list[int],
    before: Place,
    after: Place,
    base: int,
    image: bytes,
    event: bytes,
) -> bytes:
    """An item of these: op, flags, class, DBID."""
    body = _pad8(struct.pack(f"<{len(tenants)}I", *tenants)) + image + _pad8(event)
    packed = _ITEM.pack(
        _ITEM.size + len(body),
        *head,
        len(image),
        len(event),
        len(tenants),
        *(before[1], after[1], before[0], after[0], 0, base),
        *(0, 0, 0),
    )
    return packed + body


def build_entry(
    revision: int,
    prev_mark: int,
    time_ms: int,
    actor: Mapping[str, Any],
    changes: Sequence[Change | GrantsChange],
    images: Sequence[bytes],
    flags: int = 0,
    look: Lookup | None = None,
) -> bytes:
    """The log entry of a transaction; `images` has one for each change, empty for a delete."""
    look = look or Nothing()
    found: list[bytes] = []
    size = HEADER_SIZE
    tail = _tail_of(time_ms, actor)
    for change, image in zip(changes, images, strict=True):
        if isinstance(change, GrantsChange):
            found.append(_grants_item(change, image, grants_event(change, revision, tail)))
        else:
            found.append(_item(change, image, _event(change, image, revision, tail), look))
        size += len(found[-1])
        if size > ENTRY_BYTES_MAX:
            raise TooBig(
                f"the changes of one transaction take more than {ENTRY_BYTES_MAX} bytes"
                f" ({len(changes)} objects): change less at once"
            )
    return _entry(b"".join(found), len(changes), revision, prev_mark, time_ms, flags)


def build_keys_entry(revision: int, prev_mark: int, time_ms: int, dbids: Sequence[int]) -> bytes:
    """The log entry of a change of these account records alone: no object has changed."""
    tenants = _pad8(struct.pack("<I", ENVIRONMENT))
    items = []
    for dbid in dbids:
        head = _ITEM.size + len(tenants), KEYS, ACCOUNT_CHANGED | SKIPPABLE, ACCOUNT_CLASS_ID, dbid
        items.append(_ITEM.pack(*head, 0, 0, 1, *(0, 0, 0, 0, 0, 0), *(0, 0, 0)) + tenants)
    return _entry(b"".join(items), len(items), revision, prev_mark, time_ms, 0)


def build_state_entry(
    cls: ObjectClass, dbid: int, revision: int, json: bytes, tenants: Sequence[int]
) -> bytes:
    """An entry that is in no log: one object as it is, for who is shown what there is."""
    event = b'{"op":"state","class":"%b","DBID":%d,"revision":%d,"object":%b' % (
        cls.name.encode(),
        dbid,
        revision,
        json,
    )
    body = _pad8(struct.pack(f"<{len(tenants)}I", *tenants)) + _pad8(event)
    head = _ITEM.size + len(body), CREATE, 0, cls.id, dbid, 0, len(event), len(tenants)
    return _entry(_ITEM.pack(*head, *(0, 0, 0, 0, 0, 0), *(0, 0, 0)) + body, 1, revision, 0, 0, 0)


def _entry(
    items: bytes, count: int, revision: int, prev_mark: int, time_ms: int, flags: int
) -> bytes:
    size = HEADER_SIZE + len(items)
    head = FORMAT, size, 0, count, revision, 0, time_ms, flags, 0, TABLE_DIGEST, 0
    entry = bytearray(_HEADER.pack(*head) + items)
    struct.pack_into("<Q", entry, _MARK_AT, next_mark(prev_mark, entry))
    with memoryview(entry) as view:
        struct.pack_into("<I", entry, _CRC_AT, crc32c(view[_CRC_AT + 4 :]))
    return bytes(entry)


def build_difference(
    revision: int, mark: int, time_ms: int, changes: Sequence[Change], images: Sequence[bytes]
) -> bytes:
    """What changed between two generations, as the entry of the revision that was loaded.

    It is no transaction: its mark is the revision's own, and each event has its object's revision.
    """
    items = []
    tail = _tail_of(time_ms, {})
    for change, image in zip(changes, images, strict=True):
        own = int(change.after["revision"]) if change.after is not None else revision
        event = _event(change, image, own, tail)
        items.append(_item(change, image, event, Nothing()))
    body = b"".join(items)
    head = len(items), revision, mark, time_ms, DIFFERENCE, 0, TABLE_DIGEST, 0
    covered = _COVERED.pack(*head) + body
    return struct.pack("<III", FORMAT, HEADER_SIZE + len(body), crc32c(covered)) + covered


def mark_of(entry: bytes) -> int:
    """The mark inside an entry."""
    return int.from_bytes(entry[_MARK_AT : _MARK_AT + 8], "little")


def is_readable(entry: bytes) -> bool:
    """Whether an entry has this release's form."""
    return int.from_bytes(entry[:4], "little") == FORMAT


def revision_of(entry: bytes) -> int:
    """The revision inside an entry."""
    return int.from_bytes(entry[16:24], "little")


def accounts_changed(entry: bytes) -> Iterator[int]:
    """DBIDs of the account records that changed with it, or went."""
    at = HEADER_SIZE
    while at < len(entry):
        size, _, flags, _, dbid, *_ = _ITEM.unpack_from(entry, at)
        if flags & ACCOUNT_CHANGED:
            yield dbid
        at += size


def events_in(entry: bytes) -> Iterator[bytes]:
    """The events of an entry's changes, each without its end, of those of which is told."""
    at = HEADER_SIZE
    while at < len(entry):
        size, _, _, _, _, image_size, event_size, count = _ITEM.unpack_from(entry, at)[:8]
        event_at = at + _ITEM.size + (4 * count + 7) // 8 * 8 + image_size
        if event_size:
            yield entry[event_at : event_at + event_size]
        at += size


def split_entries(entries: bytes) -> Iterator[tuple[int, int]]:
    """Place and size of each entry of a concatenation; ValueError where that can't be one."""
    at = 0
    while at < len(entries):
        if len(entries) - at < HEADER_SIZE:
            raise ValueError(f"an entry is cut off at byte {at}")
        form, size = struct.unpack_from("<II", entries, at)
        if form != FORMAT or not HEADER_SIZE <= size <= len(entries) - at:
            raise ValueError(f"no entry begins at byte {at}")
        yield at, size
        at += size


def why_not_continues(entry: bytes, prev_mark: int) -> str | None:
    """Why an entry (refs 0) can't follow the state with `prev_mark`; None if it does."""
    try:
        parsed = parse_entry(entry)
    except ValueError as error:
        return str(error)
    if crc32c(entry[12:]) != parsed.crc:
        return f"revision {parsed.revision}: checksum does not match"
    if next_mark(prev_mark, entry) != parsed.mark:
        return f"revision {parsed.revision}: its mark does not follow from {prev_mark:016x}"
    return None


def _items(entry: bytes) -> Iterator[tuple[int, tuple[Any, ...]]]:
    at, end = HEADER_SIZE, len(entry)
    while at < end:
        if end - at < _ITEM.size:
            raise ValueError(f"an item at byte {at} is cut off")
        fields = _ITEM.unpack_from(entry, at)
        size, image_size, event_size, tenant_count = fields[0], *fields[5:8]
        need = _ITEM.size + (4 * tenant_count + 7) // 8 * 8 + image_size + (event_size + 7) // 8 * 8
        if size != need or at + size > end:
            raise ValueError(f"the item at byte {at} has impossible sizes")
        yield at, fields
        at += size


def parse_entry(entry: bytes) -> Entry:
    """An entry taken apart; raises ValueError where the sizes can't be.

    Items of kinds that are not known here, but may be skipped, are left out.
    """
    if len(entry) < HEADER_SIZE:
        raise ValueError(f"an entry has at least {HEADER_SIZE} bytes, here are {len(entry)}")
    form, size, crc, count, revision, mark, time_ms, flags, _, table, _ = _HEADER.unpack_from(entry)
    if form != FORMAT:
        raise ValueError(f"this is no log entry: it begins with {form:08x}")
    if size != len(entry):
        raise ValueError(f"revision {revision}: {len(entry)} bytes, its header says {size}")
    found = []
    seen = 0
    for at, fields in _items(entry):
        seen += 1
        _, op, bits, class_id, dbid, image_size, event_size, n = fields[:8]
        before_dbid, after_dbid, before_class, after_class, _, base, ref, _, _ = fields[8:]
        nodes = (before_class, before_dbid), (after_class, after_dbid), base
        if op not in OPS and bits & SKIPPABLE:
            continue
        tenants = struct.unpack_from(f"<{n}I", entry, at + _ITEM.size)
        image_at = at + _ITEM.size + (4 * n + 7) // 8 * 8
        event_at = image_at + image_size
        image, event = entry[image_at:event_at], entry[event_at : event_at + event_size]
        found.append(Item(OPS[op], bits, class_id, dbid, ref, *nodes, tenants, image, event))
    if seen != count:
        raise ValueError(f"revision {revision}: {seen} items, its header says {count}")
    return Entry(revision, mark, time_ms, flags, crc, table, tuple(found))


def event_json(item: Item, more: bool = False) -> Object:
    """The payload of an item, as a subscriber reads it."""
    end = b',"more":true}' if more else b',"more":false}'
    found: Object = orjson.loads(item.event + end)
    return found
