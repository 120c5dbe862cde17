"""The filter keys: what each is called, which number it has in a record image, how it is answered.

1. A key's number is class id * 64 + its n in the table; records of other releases hold it, so it is
   never reused.
2. `KEYS[class, name]` is for commands, `KEY_TABLE` is the same as bytes for the compiled side
   (generated as classes.h, too).
3. Of a pair (`owner_dbid` + `owner_type`) the `_dbid` half owns the number under which values are
   indexed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from csp.model.types import CLASSES, KEYS_PER_CLASS, ObjectClass

KINDS = {
    "none": 0, "name": 1, "list": 2, "absent": 3, "folder-of": 4, "pair-part": 5, "dbid": 6,
    "through": 7, "trim": 8,
}  # fmt: skip
VALUES = {"none": 0, "u32": 1, "text": 2, "word": 3, "flag": 4, "pair": 5, "any": 6}


@dataclass(frozen=True, slots=True)
class FilterKey:
    """One filter key of one class."""

    key_id: int
    class_id: int
    class_name: str
    name: str
    kind: str
    value_type: str
    # The key whose lists answer this one: the list that must be empty (absent), the other half
    # (pair), the list of those that are gone through (through).
    other: int
    source: str
    # Under which key those that are gone through have what is found.
    through: int = 0


def _number(owner: ObjectClass, n: int) -> int:
    if not 0 < n < KEYS_PER_CLASS:
        raise ValueError(f"{owner.name}: key number {n} is not in 1..{KEYS_PER_CLASS - 1}")
    return owner.id * KEYS_PER_CLASS + n


def _resolve(owner: ObjectClass, name: str) -> int:
    """The number of `name` or `Class.name`; 0 for an empty name."""
    if not name:
        return 0
    class_name, _, key = name.rpartition(".")
    other = CLASSES[class_name] if class_name else owner
    return _number(other, next(row.n for row in other.keys if row.name == key))


def _all() -> dict[tuple[str, str], FilterKey]:
    found = {}
    for owner in CLASSES.values():
        for row in owner.keys:
            found[owner.name, row.name] = FilterKey(
                _number(owner, row.n),
                owner.id,
                owner.name,
                row.name,
                row.kind,
                row.value,
                _resolve(owner, row.other),
                row.source,
                _resolve(owner, row.source) if row.kind == "through" else 0,
            )
    return found


KEYS: dict[tuple[str, str], FilterKey] = _all()
BY_ID: dict[int, FilterKey] = {key.key_id: key for key in KEYS.values()}
# (key, class of its DBIDs, kind) of every key that has an index of its own.
STORED_KEYS = [
    (key.key_id, key.class_id, key.kind) for key in KEYS.values() if key.kind in ("name", "list")
]
# Rows of key_id, class_id, kind, value type, other (u16 each) and a u16 of zero, ascending by
# key_id.
KEY_ROW = struct.Struct("<HHHHHH")
KEY_TABLE: bytes = b"".join(
    KEY_ROW.pack(key.key_id, key.class_id, KINDS[key.kind], VALUES[key.value_type], key.other, 0)
    for key in sorted(KEYS.values(), key=lambda one: one.key_id)
)
