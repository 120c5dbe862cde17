"""CFG.FROM … WITHSTATE: shows a subscriber the objects that there are, before what changes.

1. Each object is told once to each subscription that would hear of its changes, as it is when its
   turn comes; `synced` then names the revision that none of them is newer than.
2. It goes on in slices between the turns of the loop, and rests while much is unsent.
3. Only classes that a subscription may mean are looked through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import orjson

from csp.model.entry import build_state_entry
from csp.model.image import json_of, parse_header
from csp.model.types import CLASSES, ENVIRONMENT, ObjectClass, by_id
from csp.worker.call import Lane
from csp.worker.ports import View
from csp.worker.slices import Slices

SLICE_OBJECTS = 32  # some 0.5 ms
_SPECIAL = re.compile(rb"[*?\[\\]")

Wanted = dict[int, set[int] | None]  # by class: which DBIDs; None: all


class States:
    """All of one worker."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        # By connection: class and DBID of each object, as they come.
        self._showing: dict[int, Iterator[tuple[int, int]]] = {}
        self._slices = Slices(lane, self._slice)

    def __len__(self) -> int:
        return len(self._showing)

    def show(self, conn: int) -> None:
        """The loop has a subscriber that is to see what there is."""
        wanted = wanted_by(self._lane.loop.subscriptions_of(conn))
        self._showing[conn] = self._objects(conn, wanted)
        self._slices.go_on(conn)

    def closed(self, conn: int) -> None:
        """Nobody is to be shown anything any more."""
        self._showing.pop(conn, None)

    def _objects(self, conn: int, wanted: Wanted) -> Iterator[tuple[int, int]]:
        for class_id, dbids in wanted.items():
            if dbids is not None:
                yield from ((class_id, dbid) for dbid in sorted(dbids))
                continue
            dbid = 0
            while dbid := self._lane.reader_of(conn).next_dbid(class_id, dbid):
                yield class_id, dbid

    def _slice(self, conn: int) -> None:
        objects, loop = self._showing.get(conn), self._lane.loop
        if objects is None or self._slices.waits(conn):
            return
        for _ in range(SLICE_OBJECTS):
            place = next(objects, None)
            if place is None:
                del self._showing[conn]
                loop.shown(conn, b'{"op":"synced","revision":%d}' % self._lane.reader.revision)
                return
            entry = _entry_of(self._lane.reader_of(conn), *place)
            if entry is not None and not loop.show(conn, entry):
                del self._showing[conn]
                return
        self._slices.go_on(conn)


def _entry_of(reader: View, class_id: int, dbid: int) -> bytes | None:
    """The object as an entry of its own; None where it has gone."""
    image = reader.image(class_id, dbid)
    if image is None:
        return None
    header, cls, json = parse_header(image), by_id[class_id], json_of(image)
    return build_state_entry(
        cls, dbid, header.revision, json, _tenants(cls, header.tenant_dbid, json)
    )


def _tenants(cls: ObjectClass, own: int, json: bytes) -> list[int]:
    if not cls.tenants_path:
        return [own]
    return sorted({ENVIRONMENT, *(orjson.loads(json).get(cls.tenants_path) or ())})


def wanted_by(subscriptions: Iterable[tuple[bytes, bool]]) -> Wanted:
    """What is to be looked through for channels and patterns; the loop tells what matches."""
    found: Wanted = {}
    for name, is_pattern in subscriptions:
        special = _SPECIAL.search(name) if is_pattern else None
        # Of a pattern only the parts that stand whole before its first special character count.
        parts = (name[: special.start()].rpartition(b":")[0] if special else name).split(b":")
        if parts[0] != b"cfg" and not parts[0].startswith(b"cfg@") and parts != [b""]:
            continue
        if len(parts) == 1:
            return dict.fromkeys(by_id)
        cls = CLASSES.get(parts[1].decode("utf-8", "replace"))
        if cls is None:
            if special is None:
                continue  # there is no such class
            return dict.fromkeys(by_id)
        if len(parts) == 3 and parts[2].isdigit() and not special:
            dbids = found.setdefault(cls.id, set())
            if dbids is not None:
                dbids.add(int(parts[2]))
        else:
            found[cls.id] = None
    return dict(sorted(found.items()))
