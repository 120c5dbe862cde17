"""Made-up skills of one size, as the engine holds them, and transactions that update one."""

from __future__ import annotations

from typing import Any

from csp.model.entry import Change, build_entry
from csp.model.extract import Nothing
from csp.model.image import build_image
from csp.model.types import CLASSES, FIRST_DBID
from tests.neighbours.memory_store import MemoryStore

SKILL = CLASSES["CfgSkill"]

Skill = dict[str, Any]


def skill(dbid: int, value: int, revision: int = 1, *, padding: int) -> Skill:
    """One skill whose only change is a number; its size is some 200 bytes and the padding."""
    return {
        "DBID": dbid,
        "revision": revision,
        "folderDBID": 7,
        "tenantDBID": 1,
        "name": f"skill{dbid}",
        "state": "enabled",
        "userProperties": {"bench": {"value": value, "padding": "x" * padding}},
    }


def image(one: Skill, revision: int = 1) -> bytes:
    """Its record."""
    return build_image(SKILL, one, revision, Nothing())


def update_entry(before: Skill, after: Skill, value: int, revision: int, mark: int) -> bytes:
    """The transaction that makes `after` of `before`, which tells subscribers of `value`."""
    delta = {"userProperties": {"changed": {"bench": {"value": value}}}}
    change = Change("update", SKILL, after["DBID"], before, after, delta)
    return build_entry(revision, mark, 0, {}, [change], [image(after, revision)])


def load_skills(store: MemoryStore, count: int, value: int, *, padding: int) -> None:
    """Loads so many skills from the first DBID on, and publishes them."""
    made = (skill(FIRST_DBID + at, value, padding=padding) for at in range(count))
    store.writer.load(b"".join(map(image, made)))
    store.publish()
