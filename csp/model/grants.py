"""The grants of one object as a record: kept, fed and logged beside the object, never in it.

1. A record of the class GRANTS_CLASS_ID has a number of its own; its container is the object.
   An object has at most one; without grants it has none.
2. Its first part lists (account DBID, account class, grant, 0) by class and DBID; it has no other.
3. Its keys lead from the object to the record, and from each account to all records that name it.
4. A change of grants is an item of the log as any other, of which subscribers are told nothing: its
   event is for the history, and has the whole list as it is afterwards.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from csp.model.image import HEADER_SIZE, assemble_inner, key_bytes, parse_header
from csp.model.places import OWN_GRANTS, Place
from csp.model.rights import Account, Grant, Grants, account_key, words_of
from csp.model.types import GRANTS_CLASS_ID, by_id

# Numbers in the key table that no class of objects has (n 62 and 61 of class 0).
GRANTS_KEY: Final = 62
GRANTEE_KEY: Final = 61
_PLACE = struct.Struct("<II")
_GRANT = struct.Struct("<IHBB")


@dataclass(frozen=True, slots=True)
class GrantsChange:
    """The grants of one object, changed by a transaction."""

    op: str  # what becomes of the record: create, update or delete
    number: int
    place: Place
    grants: Grants  # all that the object has afterwards
    is_told: bool = True  # else the object goes with them, and that says it all


def grants_event(change: GrantsChange, revision: int, tail: bytes) -> bytes:
    """What the history shows of it, without its end; empty where nothing is told."""
    if not change.is_told:
        return b""
    class_id, dbid = change.place
    shown = {account_key(account): words_of(one) for account, one in sorted(change.grants.items())}
    return b'{"op":"grant","class":"%b","DBID":%d,"revision":%d,"grants":%b%b' % (
        by_id[class_id].name.encode(),
        dbid,
        revision,
        orjson.dumps(shown),
        tail,
    )


def build_grants(number: int, place: Place, grants: Grants, revision: int) -> bytes:
    """The record image of an object's grants; there is at least one."""
    ordered = sorted(grants.items())
    rows = b"".join(_GRANT.pack(dbid, cls, grant, 0) for (cls, dbid), grant in ordered)
    keys = [key_bytes(GRANTEE_KEY, _PLACE.pack(dbid, cls)) for (cls, dbid), _ in ordered]
    keys.append(key_bytes(GRANTS_KEY, _PLACE.pack(place[1], place[0])))
    return assemble_inner(GRANTS_CLASS_ID, number, revision, place, rows, b"".join(keys))


def has_own_grants(image: bytes) -> bool:
    """Whether an object's image says that it has grants of its own."""
    return bool(parse_header(image).flags & OWN_GRANTS)


def grants_in(image: bytes) -> Mapping[Account, Grant]:
    """The grants that a record lists."""
    size = parse_header(image).reply_size
    rows = _GRANT.iter_unpack(image[HEADER_SIZE : HEADER_SIZE + size])
    return {(cls, dbid): grant for dbid, cls, grant, _ in rows}
