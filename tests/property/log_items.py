"""Items and entries of the change log, as much of them as subscriptions look at."""

from __future__ import annotations

import struct

ITEM_HEAD = struct.Struct("<IBBHIIIIIIHHIQQII")
ENTRY_HEAD = struct.Struct("<IIIIQQqIIQQ")


def item(class_id: int, dbid: int, tenants: list[int]) -> bytes:
    """An item of a log entry, without image and event."""
    rest = struct.pack(f"<{len(tenants)}I", *tenants)
    rest += bytes(-len(rest) % 8)
    size = ITEM_HEAD.size + len(rest)
    head = (size, 1, 0, class_id, dbid, 0, 0, len(tenants))
    return ITEM_HEAD.pack(*head, *(0,) * 9) + rest


def entry(revision: int, items: list[bytes]) -> bytes:
    """A log entry of these items."""
    body = b"".join(items)
    size = ENTRY_HEAD.size + len(body)
    return ENTRY_HEAD.pack(1, size, 0, len(items), revision, 0, 0, 0, 0, 0, 0) + body
