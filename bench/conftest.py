"""A store in memory, filled with made-up skills, for the micro benchmarks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from csp._fastpath import Control, StoreReader, StoreWriter
from csp.model.entry import Change, build_entry
from csp.model.image import build_image
from csp.model.keys import KEYS
from csp.model.types import CLASSES

OBJECTS = 100_000
FIRST = 101
RESERVE_BYTES = 1 << 30
SKILL = CLASSES["CfgSkill"]


class NoLookup:
    """Skills refer to nothing whose attributes would be needed."""

    def get(self, class_name: str, dbid: int) -> None:
        return None


def skill(dbid: int, value: int, revision: int = 1) -> dict[str, object]:
    """One skill as the store keeps it."""
    return {
        "DBID": dbid,
        "revision": revision,
        "folderDBID": 7,
        "tenantDBID": 1,
        "name": f"skill{dbid}",
        "state": "enabled",
        "userProperties": {"bench": {"value": value, "padding": "x" * 400}},
    }


@dataclass
class Bench:
    """A filled store and what makes changes for it."""

    writer: StoreWriter
    reader: StoreReader
    values: dict[int, int] = field(default_factory=dict)

    def next_entry(self, value: int) -> bytes:
        """A transaction that updates one skill."""
        revision = self.writer.published + 1
        dbid = FIRST + revision % OBJECTS
        before, after = skill(dbid, self.values.get(dbid, 0)), skill(dbid, value)
        self.values[dbid] = value
        delta = {"userProperties": {"changed": {"bench": {"value": value}}}}
        change = Change("update", SKILL, dbid, before, after, delta)
        image = build_image(SKILL, after, revision, NoLookup())
        return build_entry(revision, self.writer.mark, 0, {}, [change], [image])


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    control_fd, data_fd = os.memfd_create("control"), os.memfd_create("data")
    os.ftruncate(control_fd, Control.SIZE)
    control = Control(control_fd, format=True)
    keys = [(key.key_id, key.class_id, key.kind) for key in KEYS.values()]
    writer = StoreWriter(data_fd, control, reserve_bytes=RESERVE_BYTES, format=True, keys=keys)
    writer.load_begin(bytes(16))
    dbids = range(FIRST, FIRST + OBJECTS)
    writer.load(b"".join(build_image(SKILL, skill(dbid, 0), 1, NoLookup()) for dbid in dbids))
    writer.load_end(1, 1, 0)
    reader = StoreReader(data_fd, control, 0)
    yield Bench(writer, reader)
    os.close(control_fd)
    os.close(data_fd)
