"""A transaction over watched objects: the master refuses it if one of them has moved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage


@pytest.fixture
def stage(seeded: Place) -> Iterator[Stage]:
    found = Stage(seeded)
    yield found
    found.close()


def skill(name: str) -> tuple[object, ...]:
    return ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": name})


def test_reads_keep_their_numbers(stage: Stage) -> None:
    delta = {"changed": {"name": "b"}}
    outcome = stage.exec(("CFG.SKIP",), skill("a"), ("CFG.UPDATE", "CfgSkill", "@2", delta))
    assert outcome.error is None
    assert outcome.results == (0, 101, 0)
    assert stage.object("CfgSkill", 101)["name"] == "b"
    refused = stage.refused_exec(("CFG.SKIP",), skill("b"))
    assert refused.startswith("EXECABORT UNIQUE command 2:")


def test_watched_objects(stage: Stage) -> None:
    dbid = stage.create("CfgSkill", tenantDBID=1, name="a")
    revision = stage.host.published
    seen = ("CFG.EXPECT", "CfgSkill", dbid, revision)
    assert stage.exec(skill("b"), seen, ("CFG.EXPECT", "CfgSkill", 999, 0)).error is None
    stage.update("CfgSkill", dbid, {"changed": {"name": "c"}})
    assert stage.refused_exec(skill("d"), seen).startswith("CONFLICT watched CfgSkill:")
    stage.delete("CfgSkill", dbid)
    assert stage.refused_exec(skill("d"), seen).startswith("CONFLICT watched CfgSkill:")
