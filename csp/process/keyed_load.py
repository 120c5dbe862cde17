"""Hands record images to a store that loads; keys that another key table has built are built anew.

1. Keys of another table are not believed, whoever says they are right.
2. A key that leads through another object is built once more when all objects are there.
"""

from __future__ import annotations

from csp.model.image import parse_header, split_images
from csp.model.keys import TABLE_DIGEST
from csp.model.rekey import LOOKS_AT_OTHERS
from csp.process.origin import StoreForOrigin


class KeyedLoad:
    """The records of one load."""

    def __init__(self, store: StoreForOrigin) -> None:
        self._store = store
        # Records whose keys led through objects that were perhaps not there yet.
        self._again: list[tuple[int, int]] = []

    def take(self, images: bytes, table: int) -> None:
        """Takes concatenated images whose keys the table of this digest has built."""
        if table == TABLE_DIGEST:
            self._store.load(images)
            return
        self._store.load_rekeyed(images)
        headers = map(parse_header, split_images(images))
        self._again += [
            (header.class_id, header.dbid)
            for header in headers
            if header.class_id in LOOKS_AT_OTHERS
        ]

    def settle(self) -> None:
        """All records have come."""
        for class_id, dbid in self._again:
            self._store.load_again(class_id, dbid)
        self._again.clear()
