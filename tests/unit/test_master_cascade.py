"""Deletions that many refer to: what they clear, what refuses them, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from csp.model.entry import event_json, parse_entry
from csp.model.types import CLASSES
from csp.rules import transaction
from csp.rules.references import needing_paths, references_of
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage

PERSONS = 30


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    found = Stage(place)
    yield found
    found.close()


def persons(stage: Stage, count: int, *, tenant: int = 1, **info: Any) -> list[int]:
    creates = []
    for number in range(count):
        person = {"tenantDBID": tenant, "userName": f"u{tenant}.{number}", "isAgent": True,
                  "employeeID": f"{number}", "agentInfo": info}  # fmt: skip
        creates.append(("CFG.CREATE", "CfgPerson", person))
    outcome = stage.exec(*creates)
    assert outcome.error is None, outcome
    return list(outcome.results)


def test_a_skill_leaves_all_its_agents_at_once(stage: Stage) -> None:
    for name in ("first", "second", "third"):
        stage.create("CfgSkill", tenantDBID=1, name=name)
    levels = [{"skillDBID": dbid, "level": dbid - 100} for dbid in (101, 102, 103)]
    found = persons(stage, PERSONS, skillLevels=levels)
    before = {dbid: stage.object("CfgPerson", dbid) for dbid in found}
    stage.exec(("CFG.DELETE", "CfgSkill", 101), ("CFG.DELETE", "CfgSkill", 103))
    items = parse_entry(stage.host.entries[-1]).items
    assert [item.op for item in items] == ["update"] * PERSONS + ["delete"] * 2
    assert event_json(items[0])["delta"] == {"deleted": {"agentInfo.skillLevels": [101, 103]}}
    for dbid in found:
        after = stage.object("CfgPerson", dbid)
        assert after["agentInfo"]["skillLevels"] == [{"skillDBID": 102, "level": 2}]
        rest = {"revision": 0, "agentInfo": 0}
        assert {**after, **rest} == {**before[dbid], **rest}
    assert stage.origin.database.referrers(13, 101, 10) == []
    assert len(stage.origin.database.referrers(13, 102, 100)) == PERSONS


def test_what_a_command_of_the_same_transaction_changed_is_cleared_too(stage: Stage) -> None:
    for name in ("first", "second"):
        stage.create("CfgSkill", tenantDBID=1, name=name)
    (dbid,) = persons(stage, 1, skillLevels=[{"skillDBID": 101, "level": 1}])
    added = {"added": {"agentInfo.skillLevels": [{"skillDBID": 102, "level": 2}]}}
    outcome = stage.exec(
        ("CFG.UPDATE", "CfgPerson", dbid, added),
        ("CFG.DELETE", "CfgSkill", 101),
        ("CFG.DELETE", "CfgSkill", 102),
    )
    assert outcome.error is None, outcome
    assert "skillLevels" not in stage.object("CfgPerson", dbid).get("agentInfo", {})
    refused = stage.refused_exec(
        ("CFG.UPDATE", "CfgPerson", dbid, added), ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1})
    )
    assert refused.startswith("EXECABORT")


def test_more_than_may_be_changed_is_refused_in_words(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.create("CfgSkill", tenantDBID=1, name="first")
    persons(stage, PERSONS, skillLevels=[{"skillDBID": 101, "level": 1}])
    monkeypatch.setattr(transaction, "CHANGED_OBJECTS_MAX", PERSONS - 1)
    line = stage.refused("CFG.DELETE", "CfgSkill", 101)
    assert line.startswith(f"TOOBIG more than {PERSONS - 1} objects refer to CfgSkill:101, ")
    monkeypatch.setattr(transaction, "CHANGED_OBJECTS_MAX", PERSONS + 1)
    assert stage.delete("CfgSkill", 101)


def test_what_is_in_use_is_refused_without_a_look_at_all_that_refers(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = stage.create("CfgTenant", name="North")
    found = persons(stage, PERSONS, tenant=tenant)
    read: list[int] = []
    image = stage.host.image

    def counting(class_id: int, dbid: int) -> bytes | None:
        if class_id == CLASSES["CfgPerson"].id:
            read.append(dbid)
        return image(class_id, dbid)

    monkeypatch.setattr(stage.host, "image", counting)
    line = stage.refused("CFG.DELETE", "CfgTenant", tenant)
    named = ", ".join(f"CfgPerson:{dbid} (tenantDBID)" for dbid in found[:10])
    assert line == f"INUSE CfgTenant:{tenant} is needed by {named} and others"
    assert len(read) <= 100  # some that need it: they are named to who may read them
    # Those that go in the same transaction keep nothing.
    deletes = [("CFG.DELETE", "CfgPerson", dbid) for dbid in found]
    outcome = stage.exec(*deletes, ("CFG.DELETE", "CfgTenant", tenant))
    assert outcome.error is None, outcome


def test_the_database_asks_for_what_the_table_calls_needed() -> None:
    """Each class with every reference set: what `references_of` calls needed is asked for."""
    needed = needing_paths()
    assert (CLASSES["CfgPerson"].id, "tenantDBID") in needed
    assert (CLASSES["CfgPerson"].id, "agentInfo.skillLevels[].skillDBID") not in needed
    for cls in CLASSES.values():
        obj: dict[str, Any] = {"folderDBID": 1}
        for one in cls.attributes:
            if one.typed_by:
                obj |= {one.typed_by: "person", one.name: 1}
            elif one.type == "ref":
                obj[one.name] = 1
        for found in references_of(cls, obj):
            assert found.site.needed == ((cls.id, found.site.path) in needed)
