"""A store of dictionaries, as the slow lane reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from csp.model.entry import mark_of
from csp.model.grants import build_grants
from csp.model.places import NOWHERE, Place
from csp.model.rights import Account, Grant, rights_in, rights_on
from csp.model.types import CLASSES

HEADER_BYTES = 64


def image_of(class_id: int, dbid: int, revision: int, text: bytes) -> bytes:
    """A record image with the fields that the slow lane reads."""
    head = bytearray(HEADER_BYTES)
    head[16:24] = revision.to_bytes(8, "little")
    head[24:28] = dbid.to_bytes(4, "little")
    head[28:30] = class_id.to_bytes(2, "little")
    return bytes(head) + text


@dataclass
class FakeReader:
    published: int = 10
    mark: int = 0xABCD
    stream: bytes = bytes(range(16))
    time_ms: int = 1_000
    objects: dict[tuple[int, int], tuple[int, dict[str, Any]]] = field(default_factory=dict)
    entries: dict[int, bytes] = field(default_factory=dict)
    differences: set[int] = field(default_factory=set)
    followed: dict[int, int] = field(default_factory=dict)  # which mark an entry follows
    finds: dict[tuple[int, bytes], list[int]] = field(default_factory=dict)
    pins: int = 0
    accounts: dict[int, set[Account]] = field(default_factory=dict)  # that a person stands for
    containers: dict[Place, Place] = field(default_factory=dict)
    granted: dict[Place, dict[Account, Grant]] = field(default_factory=dict)

    @property
    def revision(self) -> int:
        return self.published

    @property
    def oldest(self) -> int:
        return min(self.entries, default=self.published + 1)

    def pin(self) -> int:
        self.pins += 1
        return self.published

    def unpin(self) -> None:
        self.pins -= 1

    def put(self, class_name: str, dbid: int, /, **attributes: Any) -> None:
        self.objects[CLASSES[class_name].id, dbid] = (self.published, {"DBID": dbid} | attributes)

    def get(self, class_id: int, dbid: int) -> bytes | None:
        found = self.objects.get((class_id, dbid))
        return None if found is None else orjson.dumps(found[1])

    def revision_of(self, class_id: int, dbid: int) -> int:
        return self.objects.get((class_id, dbid), (0, None))[0]

    def raw_get(self, class_id: int, dbid: int) -> bytes | None:
        return self.get(class_id, dbid)

    def accounts_of(self, person_dbid: int) -> set[Account]:
        return self.accounts.get(person_dbid, set())

    def raw_rights(
        self, class_id: int, dbid: int, accounts: Iterable[Account], *, inside: bool = False
    ) -> int:
        ask = rights_in if inside else rights_on
        return ask(self, (class_id, dbid), frozenset(accounts))

    def container(self, place: Place) -> Place:
        return self.containers.get(place, NOWHERE)

    def grants(self, place: Place) -> dict[Account, Grant]:
        return self.granted.get(place, {})

    def raw_container(self, class_id: int, dbid: int) -> Place:
        return self.container((class_id, dbid))

    def raw_grants(self, class_id: int, dbid: int) -> bytes | None:
        found = self.grants((class_id, dbid))
        return build_grants(1, (class_id, dbid), found, self.published) if found else None

    def raw_image(self, class_id: int, dbid: int) -> bytes | None:
        return self.image(class_id, dbid)

    def image(self, class_id: int, dbid: int) -> bytes | None:
        found = self.objects.get((class_id, dbid))
        if found is None:
            return None
        return image_of(class_id, dbid, found[0], orjson.dumps(found[1]))

    def find(self, key_id: int, value: bytes) -> list[int]:
        return self.finds.get((key_id, value), [])

    def count(self, class_id: int) -> int:
        return sum(1 for known, _ in self.objects if known == class_id)

    def next_dbid(self, class_id: int, after: int) -> int:
        return min((d for known, d in self.objects if known == class_id and d > after), default=0)

    def raw_images(
        self, class_id: int, after: int, max_bytes: int, part: int = 0, parts: int = 1
    ) -> tuple[bytes, int]:
        out = b""
        dbid = after
        while dbid := self.next_dbid(class_id, dbid):
            if dbid % parts != part:
                continue
            out += self.image(class_id, dbid) or b""
            if len(out) >= max_bytes:
                return out, dbid
        return out, 0

    def raw_entry(self, revision: int) -> bytes | None:
        return self.entries.get(revision)

    def log_head(self, revision: int) -> tuple[int, bool] | None:
        entry = self.entries.get(revision)
        return None if entry is None else (mark_of(entry), revision in self.differences)

    def log_follows(self, mark: int, revision: int) -> bool:
        return revision in self.entries and self.followed.get(revision) == mark

    def raw_sums(self, class_id: int, at: int, lo: int, hi: int) -> tuple[int, int]:
        found = [d for known, d in self.objects if known == class_id and lo <= d <= hi]
        return len(found), sum(found)
