"""The grants of one object as a record: kept, fed and logged beside the object, never in it.

1. A record of the class GRANTS_CLASS_ID has a number of its own; its container is the object.
   An object has at most one; without grants it has none.
2. Its first part lists (account DBID, account class, grant, 0) by class and DBID; it has no other.
3. Its keys lead from the object to the record, and from each account to all records that name it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from csp.model.image import HEADER_SIZE, assemble_inner, key_bytes, parse_header
from csp.model.places import Place
from csp.model.rights import Account, Grant, Grants
from csp.model.types import GRANTS_CLASS_ID

# Numbers in the key table that no class of objects has (n 62 and 61 of class 0).
GRANTS_KEY: Final = 62
GRANTEE_KEY: Final = 61
_PLACE = struct.Struct("<II")
_GRANT = struct.Struct("<IHBB")


def build_grants(number: int, place: Place, grants: Grants, revision: int) -> bytes:
    """The record image of an object's grants; there is at least one."""
    ordered = sorted(grants.items())
    rows = b"".join(_GRANT.pack(dbid, cls, grant, 0) for (cls, dbid), grant in ordered)
    keys = [key_bytes(GRANTEE_KEY, _PLACE.pack(dbid, cls)) for (cls, dbid), _ in ordered]
    keys.append(key_bytes(GRANTS_KEY, _PLACE.pack(place[1], place[0])))
    return assemble_inner(GRANTS_CLASS_ID, number, revision, place, rows, b"".join(keys))


def grants_in(image: bytes) -> Mapping[Account, Grant]:
    """The grants that a record lists."""
    size = parse_header(image).reply_size
    rows = _GRANT.iter_unpack(image[HEADER_SIZE : HEADER_SIZE + size])
    return {(cls, dbid): grant for dbid, cls, grant, _ in rows}
