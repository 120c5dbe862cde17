"""Finds what changed between two generations of the store, for the subscribers of the older one.

1. The store walks both in DBID order, class by class; equal bytes are equal objects.
2. Beyond the limits no entry is made: subscribers are told to read anew.
"""

from __future__ import annotations

from csp._fastpath import StoreReader, StoreWriter
from csp.model.entry import Change, build_difference
from csp.model.image import parse_image
from csp.model.places import NOWHERE
from csp.model.types import ObjectClass, by_id

CHANGES_MAX = 200_000  # four times what one transaction may change; beyond, reading anew is cheaper
ENTRY_BYTES_MAX = 64 * 1024 * 1024  # a quarter of the log


def difference_entry(old: StoreReader, new: StoreWriter) -> bytes | None:
    """The entry that leads from one to the other; None where it would be too large."""
    changes: list[Change] = []
    images: list[bytes] = []
    size_bytes = 0
    old.pin()
    try:
        for class_id, dbid, before, after in new.difference(old):
            cls = by_id.get(class_id)
            if cls is None:
                continue  # accounts: nobody subscribes to them
            changes.append(_change(cls, dbid, before, after))
            images.append(after or b"")
            size_bytes += len(before or b"") + len(after or b"")
            if len(changes) > CHANGES_MAX or size_bytes > ENTRY_BYTES_MAX:
                return None
    finally:
        old.unpin()
    return build_difference(new.published, new.mark, new.time_ms, changes, images)


def _change(cls: ObjectClass, dbid: int, before: bytes | None, after: bytes | None) -> Change:
    op = "create" if before is None else "delete" if after is None else "update"
    tenants: set[int] = set()
    objects = []
    nodes = []
    for image in (before, after):
        header, found = parse_image(image) if image is not None else (None, None)
        objects.append(found)
        nodes.append(NOWHERE if header is None else header.governor)
        if header is not None and found is not None:
            tenants.add(header.tenant_dbid)
            if cls.tenants_path:
                tenants.update(found.get(cls.tenants_path) or ())
    return Change(
        op,
        cls,
        dbid,
        before=objects[0],
        after=objects[1],
        tenants=frozenset(tenants),
        nodes=(nodes[0], nodes[1]),
    )
