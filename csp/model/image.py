"""Builds and parses record images: one version of one object as bytes (docs/internals/formats.md).

1. An image depends on nothing but the object, its revision and (for keys through another object)
   immutable attributes
   of what it refers to; two servers build the same bytes.
2. Index keys are sorted by (key id, value), without duplicates; each value comes from one object.
3. The object's JSON is `class, DBID, revision, folderDBID`, then the attributes as the object holds
   them (table order).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from csp._fastpath import crc32c
from csp.errors import TooBig
from csp.model.extract import Lookup, Object, scalar, value_at, values
from csp.model.keys import KEYS, FilterKey
from csp.model.places import (
    FOLDER,
    NOWHERE,
    OWN_GRANTS,
    Place,
    container_of,
    governor_of,
    tenant_of,
)
from csp.model.types import (
    CLASSES,
    ENVIRONMENT,
    TYPE_NUMBERS,
    ObjectClass,
)

HEADER_SIZE = 64
TOMBSTONE = 1
MAX_OBJECT = 16 * 1024 * 1024

# prev, crc and the node's number in a store; then from byte 16, which the crc covers: revision dbid
# class_id flags size tenant container_dbid container_class spare reply_size brief_size keys_size
# spare.
_START = struct.Struct("<QII")
_COVERED_AT = 16
_REPLY_SIZE_AT = 48
_SIZES = struct.Struct("<III")  # from there on: of reply, brief form and keys
_COVERED = struct.Struct("<QIHHIIIHHIIII")
_KEY = struct.Struct("<HHI")
_KEY_U32 = struct.Struct("<HHII")
_KEY_PAIR = struct.Struct("<HHIII")
_PAD = tuple(b"\0" * (-size % 8) for size in range(8))
_PAD4 = tuple(b"\0" * (-size % 4) for size in range(4))

Emit = Callable[[Object, Lookup, list[bytes]], None]


class Header(NamedTuple):
    """The fixed fields of an image."""

    prev: int
    crc: int
    node: int
    revision: int
    dbid: int
    class_id: int
    flags: int
    size: int
    tenant_dbid: int
    container: Place
    reply_size: int
    brief_size: int
    keys_size: int

    @property
    def folder_dbid(self) -> int:
        """DBID of the folder that the object lies in; 0: in none."""
        return self.container[1] if self.container[0] == FOLDER.id else 0

    @property
    def governor(self) -> Place:
        """The node that governs the object."""
        return governor_of(self.class_id, self.dbid, self.flags, self.container)


class Key(NamedTuple):
    """One index key of an image."""

    key_id: int
    value: bytes
    members: tuple[int, ...]


def key_bytes(key_id: int, value: bytes, members: tuple[int, ...] = ()) -> bytes:
    """One entry of an image's index keys."""
    head = _KEY.pack(key_id, len(value), len(members)) + value + _PAD4[len(value) & 3]
    return head + struct.pack(f"<{len(members)}I", *members) if members else head


# --- keys ----------------------------------------------------------------------------------------


def _emit_u32(key_id: int, path: str) -> Emit:
    pack = _KEY_U32.pack
    if "[]" not in path and "?" not in path:
        take = scalar(path)

        def one(obj: Object, look: Lookup, out: list[bytes]) -> None:
            value = take(obj)
            if value:
                out.append(pack(key_id, 4, 0, value))

        return one
    every = values(path)

    def many(obj: Object, look: Lookup, out: list[bytes]) -> None:
        found = every(obj)
        if found:
            out += sorted({pack(key_id, 4, 0, value) for value in found})

    return many


def _emit_text(key_id: int, path: str) -> Emit:
    pack = _KEY.pack
    if "[]" not in path:
        take = scalar(path)

        def one(obj: Object, look: Lookup, out: list[bytes]) -> None:
            value = take(obj)
            if value:
                raw = str(value).encode()
                out.append(pack(key_id, len(raw), 0) + raw + _PAD4[len(raw) & 3])

        return one
    every = values(path)

    def many(obj: Object, look: Lookup, out: list[bytes]) -> None:
        found = sorted({str(value).encode() for value in every(obj)})
        out += [key_bytes(key_id, raw) for raw in found]

    return many


def _emit_flag(key_id: int, path: str) -> Emit:
    yes, no = key_bytes(key_id, b"true"), key_bytes(key_id, b"false")
    if path.startswith("!"):
        path, yes, no = path[1:], no, yes
    take = scalar(path)

    def emit(obj: Object, look: Lookup, out: list[bytes]) -> None:
        out.append(yes if take(obj) else no)

    return emit


def _emit_any(key_id: int, path: str) -> Emit:
    entry = key_bytes(key_id, b"")
    if path == "*":
        return lambda obj, look, out: out.append(entry)
    every = values(path.removeprefix("-"))

    def emit(obj: Object, look: Lookup, out: list[bytes]) -> None:
        if not every(obj):
            out.append(entry)

    return emit


def _emit_pair(key: FilterKey) -> Emit:
    """Type and DBID of a part, or of each member of a list of parts."""
    path, pack, key_id = key.source.removesuffix("[]"), _KEY_PAIR.pack, key.key_id
    attribute = CLASSES[key.class_name].attribute(path)
    if attribute is None or attribute.part is None or not attribute.part.pair:
        raise ValueError(f"objects.toml: {key.class_name}.{key.name}: {path} names no pair")
    word, number = attribute.part.pair
    take, is_list = scalar(path), attribute.type == "list"

    def emit(obj: Object, look: Lookup, out: list[bytes]) -> None:
        found = take(obj)
        if not found:
            return
        pairs = found if is_list else (found,)
        out += sorted(
            {
                pack(key_id, 8, 0, one[number], TYPE_NUMBERS[one[word]])
                for one in pairs
                if one.get(number)
            }
        )

    return emit


def _emit_through(key_id: int, path: str) -> Emit:
    """`a>Class.b`: values of b in the objects that a names; b must be fixed there."""
    before, _, after = path.partition(">")
    class_name, _, field = after.partition(".")
    every, pack = values(before), _KEY_U32.pack

    def emit(obj: Object, look: Lookup, out: list[bytes]) -> None:
        names = every(obj)
        if not names:
            return
        found = set()
        for dbid in names:
            other = look.get(class_name, dbid)
            value = value_at(other, field) if other is not None else None
            if value:
                found.add(pack(key_id, 4, 0, value))
        out += sorted(found)

    return emit


def _emit_joined(key_id: int, path: str) -> Emit:
    """`a:b[].c`: the text "<a>:<c>" for each member, where a is stated."""
    left, _, right = path.partition(":")
    take, every = scalar(left), values(right)

    def emit(obj: Object, look: Lookup, out: list[bytes]) -> None:
        first = take(obj)
        if first:
            raws = sorted({f"{first}:{value}".encode() for value in every(obj)})
            out += [key_bytes(key_id, raw) for raw in raws]

    return emit


def _emit_members(key_id: int, path: str) -> Emit:
    """A contribution: under another class's key, with this object's DBID as value."""
    every = values(path)

    def emit(obj: Object, look: Lookup, out: list[bytes]) -> None:
        members = every(obj)
        if members:
            value = obj["DBID"].to_bytes(4, "little")
            out.append(key_bytes(key_id, value, tuple(sorted(set(members)))))

    return emit


_EMIT: dict[str, Callable[[int, str], Emit]] = {
    "u32": _emit_u32,
    "text": _emit_text,
    "word": _emit_text,
    "flag": _emit_flag,
    "any": _emit_any,
}


def _emitter(key: FilterKey) -> Emit:
    if ">" in key.source:
        return _emit_through(key.key_id, key.source)
    if key.value_type == "pair":
        return _emit_pair(key)
    if ":" in key.source:
        return _emit_joined(key.key_id, key.source)
    return _EMIT[key.value_type](key.key_id, key.source)


def _emitters(cls: ObjectClass) -> tuple[Emit, ...]:
    """What makes a class's keys, in the order of the key ids, contributions among them."""
    found = [
        (key.key_id, _emitter(key))
        for key in KEYS.values()
        if key.class_name == cls.name and key.source
    ]
    for one in cls.contributions:
        class_name, _, name = one.key.partition(".")
        key_id = KEYS[class_name, name].key_id
        found.append((key_id, _emit_members(key_id, one.members)))
    found.sort(key=lambda pair: pair[0])
    return tuple(emit for _, emit in found)


def _key_attributes(cls: ObjectClass) -> tuple[str, ...]:
    """The attributes of an object that its keys are made of; what they lead to is fixed."""
    sources = [key.source for key in KEYS.values() if key.class_name == cls.name and key.source]
    sources += [one.members for one in cls.contributions]
    paths = [path for source in sources for path in source.partition(">")[0].split(":")]
    names = [re.split(r"[.\[?]", path.lstrip("!-"), maxsplit=1)[0] for path in paths]
    return tuple({name: None for name in names if name not in ("*", "DBID")})


# --- JSON ----------------------------------------------------------------------------------------


def canonical(cls: ObjectClass, obj: Object, revision: int) -> Object:
    """The object with its fixed fields first, at a revision."""
    whole = {"class": cls.name, "DBID": obj["DBID"], "revision": revision}
    if "folderDBID" in obj:
        whole["folderDBID"] = obj["folderDBID"]
    whole.update(obj)
    whole["revision"] = revision
    return whole


_BRIEF: dict[str, tuple[tuple[str, Callable[[Object], Any]], ...]] = {}
_EMITTERS: dict[str, tuple[Emit, ...]] = {}
_KEY_ATTRIBUTES: dict[str, tuple[str, ...]] = {}
for _cls in CLASSES.values():
    _BRIEF[_cls.name] = tuple((path.rpartition(".")[2], scalar(path)) for path in _cls.brief)
    _EMITTERS[_cls.name] = _emitters(_cls)
    _KEY_ATTRIBUTES[_cls.name] = _key_attributes(_cls)


def brief_of(cls: ObjectClass, whole: Object) -> Object:
    """The brief form: class, DBID, revision, folderDBID, then what the table says, parts
    flattened.
    """
    brief = {"class": cls.name, "DBID": whole["DBID"], "revision": whole["revision"]}
    for name, take in _BRIEF[cls.name]:
        value = take(whole)
        if value is not None:
            brief[name] = value
    if "folderDBID" in whole:
        brief["folderDBID"] = whole["folderDBID"]
    return brief


# --- images --------------------------------------------------------------------------------------


def frame(json: bytes) -> bytes:
    """JSON as it goes on the wire."""
    return b"$%d\r\n%b\r\n" % (len(json), json)


def _assemble(
    revision: int, dbid: int, class_id: int, flags: int, tenant: int, container: Place, body: bytes,
    sizes: tuple[int, int, int],
) -> bytes:  # fmt: skip
    body += _PAD[len(body) & 7]
    size = HEADER_SIZE + len(body)
    place = container[1], container[0], 0
    covered = _COVERED.pack(revision, dbid, class_id, flags, size, tenant, *place, *sizes, 0) + body
    return _START.pack(0, crc32c(covered), 0) + covered


def build_image(
    cls: ObjectClass,
    obj: Object,
    revision: int,
    look: Lookup,
    keys: bytes | None = None,
    *,
    own: bool = False,
) -> bytes:
    """The record image of an object at a revision; `keys` where they are known already.

    `own`: the object has grants of its own.
    """
    whole = canonical(cls, obj, revision)
    json = orjson.dumps(whole)
    if len(json) > MAX_OBJECT:
        raise TooBig(
            f"{cls.name}:{whole['DBID']} has {len(json)} bytes, at most {MAX_OBJECT} are allowed"
        )
    reply, brief = frame(json), frame(orjson.dumps(brief_of(cls, whole)))
    if keys is None:
        keys = keys_of(cls, whole, look)
    return _assemble(
        revision,
        whole["DBID"],
        cls.id,
        OWN_GRANTS if own else 0,
        tenant_of(cls, whole, look),
        container_of(cls, whole, look),
        reply + brief + keys,
        (len(reply), len(brief), len(keys)),
    )


def assemble_inner(
    class_id: int, dbid: int, revision: int, container: Place, rows: bytes, keys: bytes
) -> bytes:
    """A record of the store's own that is no object: no client is sent its first part."""
    sizes = len(rows), 0, len(keys)
    body = rows + keys
    return _assemble(revision, dbid, class_id, 0, ENVIRONMENT, container, body, sizes)


def keys_of(cls: ObjectClass, obj: Object, look: Lookup) -> bytes:
    """The index keys of an object."""
    out: list[bytes] = []
    for emit in _EMITTERS[cls.name]:
        emit(obj, look, out)
    return b"".join(out)


def has_same_keys(cls: ObjectClass, before: Object, after: Object) -> bool:
    """Whether the index keys of both are the same; else they may be."""
    for name in _KEY_ATTRIBUTES[cls.name]:
        was, now = before.get(name), after.get(name)
        if was is not now and was != now:
            return False
    return True


def keys_in(image: bytes) -> bytes:
    """The index keys of an object, out of an image that is known to be one."""
    reply_size, brief_size, keys_size = _SIZES.unpack_from(image, _REPLY_SIZE_AT)
    at = HEADER_SIZE + reply_size + brief_size
    return image[at : at + keys_size]


def with_keys(image: bytes, cls: ObjectClass | None, obj: Object, look: Lookup) -> bytes:
    """The same image with keys of this release's table; none where the class is not known."""
    header = parse_header(image)
    keys = b"" if cls is None else keys_of(cls, obj, look)
    sizes = header.reply_size, header.brief_size, len(keys)
    body = image[HEADER_SIZE : HEADER_SIZE + header.reply_size + header.brief_size] + keys
    return _assemble(
        header.revision,
        header.dbid,
        header.class_id,
        header.flags,
        header.tenant_dbid,
        header.container,
        body,
        sizes,
    )


def build_tombstone(
    class_id: int, dbid: int, revision: int, tenant: int, container: Place = NOWHERE
) -> bytes:
    """The record that says: from this revision on there is no such object."""
    return _assemble(revision, dbid, class_id, TOMBSTONE, tenant, container, b"", (0, 0, 0))


def parse_header(image: bytes, at: int = 0) -> Header:
    """The header of the image that begins at `at`; raises ValueError where that can't be one."""
    if len(image) - at < HEADER_SIZE:
        raise ValueError(f"an image has at least {HEADER_SIZE} bytes, here are {len(image) - at}")
    start = _START.unpack_from(image, at)
    covered = _COVERED.unpack_from(image, at + _COVERED_AT)
    place = covered[7], covered[6]
    header = Header._make((*start, *covered[:6], place, *covered[9:12]))
    sizes = HEADER_SIZE + header.reply_size + header.brief_size + header.keys_size
    if header.size % 8 or header.size - sizes not in range(8) or at + header.size > len(image):
        raise ValueError(f"the image of DBID {header.dbid} has impossible sizes")
    return header


def check_crc(image: bytes) -> None:
    """Raises ValueError where the bytes are not what was built."""
    header = parse_header(image)
    if crc32c(image[_COVERED_AT : header.size]) != header.crc:
        raise ValueError(f"class {header.class_id} DBID {header.dbid}: checksum does not match")


def json_of(image: bytes) -> bytes:
    """The JSON inside an image; empty for a tombstone."""
    size = int.from_bytes(image[_REPLY_SIZE_AT : _REPLY_SIZE_AT + 4], "little")
    if not size:
        return b""
    return image[image.index(b"\n", HEADER_SIZE) + 1 : HEADER_SIZE + size - 2]


def parse_image(image: bytes) -> tuple[Header, Object | None]:
    """Header and object; the object of a tombstone is None."""
    return parse_header(image), object_of(image)


def object_of(image: bytes) -> Object | None:
    """The object inside an image that is known to be one; None of a tombstone."""
    json = json_of(image)
    return orjson.loads(json) if json else None


def parse_keys(image: bytes) -> list[Key]:
    """The index keys of an image."""
    header = parse_header(image)
    at = HEADER_SIZE + header.reply_size + header.brief_size
    end, found = at + header.keys_size, []
    while at < end:
        key_id, value_size, count = _KEY.unpack_from(image, at)
        at += _KEY.size
        value = image[at : at + value_size]
        at += value_size + (-value_size % 4)
        found.append(Key(key_id, value, struct.unpack_from(f"<{count}I", image, at)))
        at += 4 * count
    return found


def split_images(images: bytes) -> list[bytes]:
    """The images of a concatenation, as a feed's `records` frame carries them."""
    found, at = [], 0
    while at < len(images):
        size = parse_header(images, at).size
        found.append(images[at : at + size])
        at += size
    return found
