"""Builds the index keys of images anew that another key table has built; all else of them stays.

1. The object's JSON and its brief form are kept byte by byte.
2. What is not known here (a class of a newer release, an account) keeps no key. Those of grants are
   of no table.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from csp.model.entry import parse_entry
from csp.model.extract import Lookup, Object
from csp.model.image import json_of, parse_header, with_keys
from csp.model.keys import KEYS
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES, GRANTS_CLASS_ID, by_id

# Classes some of whose keys lead through other objects: those must be there when they are built.
LOOKS_AT_OTHERS = frozenset(key.class_id for key in KEYS.values() if ">" in key.source)

FindImage = Callable[[int, int], "bytes | None"]


class Images:
    """Objects as images have them: those at hand, then those of a store."""

    def __init__(self, find: FindImage) -> None:
        self._find = find
        self._here: dict[tuple[str, int], Object | None] = {}

    def get(self, class_name: str, dbid: int) -> Object | None:
        """The object that a key leads through."""
        if (class_name, dbid) not in self._here:
            image = self._find(CLASSES[class_name].id, dbid)
            self._here[class_name, dbid] = None if image is None else orjson.loads(json_of(image))
        return self._here[class_name, dbid]

    def put(self, class_id: int, dbid: int, image: bytes) -> None:
        """What an object is after the change at hand; empty: gone."""
        if class_id in by_id:
            found: Object | None = orjson.loads(json_of(image)) if image else None
            self._here[by_id[class_id].name, dbid] = found


def rekeyed(image: bytes, look: Lookup) -> bytes:
    """The image with the keys that this release's table gives it."""
    header = parse_header(image)
    cls = by_id.get(header.class_id)
    if header.class_id in (ACCOUNT_CLASS_ID, GRANTS_CLASS_ID) or not header.reply_size:
        return image
    return with_keys(image, cls, orjson.loads(json_of(image)), look)


def rekeyed_entry(entry: bytes, find: FindImage) -> list[bytes]:
    """An image for each changed object of an entry, b"" for a deletion."""
    items = parse_entry(entry).items
    look = Images(find)
    for item in items:
        look.put(item.class_id, item.dbid, item.image)
    return [rekeyed(item.image, look) if item.image else b"" for item in items]
