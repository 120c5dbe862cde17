"""The filter keys: what each is called, which number it has in a record image, how it is answered.

1. A key's number is class id * 64 + its n in the table; records of other releases hold it, so it is
   never reused.
2. `KEYS[class, name]` has every key, `SHOWN` those that clients may ask by; classes.h, which is
   generated, is the same for the compiled side.
3. Of a pair (`owner_dbid` + `owner_type`) the `_dbid` half owns the number under which values are
   indexed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from csp.model.types import CLASSES, KEYS_PER_CLASS, KeyRow, ObjectClass

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
    # (pair), the list of those that are gone through (through); of a list that says what other
    # objects say, their key for it.
    other: int
    source: str
    # Under which key those that are gone through have what is found; of a list that says what
    # other objects say, the key that names those.
    through: int = 0
    # No filter of clients: the server itself looks by it.
    hidden: bool = False


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


def _through(owner: ObjectClass, row: KeyRow) -> tuple[int, int]:
    """Of a list that says what other objects say (`a>Class.b`): the key under which a record names
    those, and theirs under which they say it; both 0 for other keys.
    """
    before, _, after = row.source.partition(">")
    if not after:
        return 0, 0
    class_name, _, field = after.partition(".")
    other = CLASSES[class_name]
    named = next(one for one in owner.keys if one.source == before)
    said = next(one for one in other.keys if one.source == field)
    return _number(owner, named.n), _number(other, said.n)


def _all() -> dict[tuple[str, str], FilterKey]:
    found = {}
    for owner in CLASSES.values():
        for row in owner.keys:
            through, other = _through(owner, row)
            if row.kind == "through":
                through = _resolve(owner, row.source)
            found[owner.name, row.name] = FilterKey(
                _number(owner, row.n),
                owner.id,
                owner.name,
                row.name,
                row.kind,
                row.value,
                other or _resolve(owner, row.other),
                row.source,
                through,
                row.hidden,
            )
    return found


def _digest() -> int:
    rows = [repr(KEYS[name]) for name in sorted(KEYS)]
    rows += sorted(repr(one) for cls in CLASSES.values() for one in cls.contributions)
    return int.from_bytes(hashlib.blake2b("\n".join(rows).encode(), digest_size=8).digest())


KEYS: dict[tuple[str, str], FilterKey] = _all()
SHOWN = {name: key for name, key in KEYS.items() if not key.hidden}
_CONTRIBUTORS = {one.key: cls.id for cls in CLASSES.values() for one in cls.contributions}
BY_ID: dict[int, FilterKey] = {key.key_id: key for key in KEYS.values()}
# (key, class of its DBIDs, kind, class of the objects that contribute its lists or 0) of every key
# that has an index of its own.
STORED_KEYS = [
    (key.key_id, key.class_id, key.kind, _CONTRIBUTORS.get(f"{key.class_name}.{key.name}", 0))
    for key in KEYS.values()
    if key.kind in ("name", "list")
]
# Says whether two servers build the same keys: of all that the table says of them. Every key that a
# store has was built by the table whose digest the store has.
TABLE_DIGEST = _digest()
