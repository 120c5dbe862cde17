"""What a changed state does to what lies in the object, and to what belongs to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from csp.model.entry import parse_entry
from csp.model.types import by_id
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage

DISABLED = {"changed": {"state": "disabled"}}
ENABLED = {"changed": {"state": "enabled"}}
Named = tuple[str, int]


@pytest.fixture
def stage(seeded: Place) -> Iterator[Stage]:
    found = Stage(seeded)
    yield found
    found.close()


def state(stage: Stage, name: str, dbid: int) -> str:
    found = stage.object(name, dbid)
    told: str = found.get("groupInfo", found)["state"]
    return told


def disabled(stage: Stage) -> set[Named]:
    objects = [key for key in stage.host.records if key[0] in by_id]
    everything = [(by_id[cls].name, stage.object(by_id[cls].name, dbid)) for cls, dbid in objects]
    return {(name, one["DBID"]) for name, one in everything
            if one.get("groupInfo", one)["state"] == "disabled"}  # fmt: skip


def changed(stage: Stage) -> list[tuple[str, str, int, Any]]:
    """Operation, class, DBID and delta of the last transaction's events, in their order."""
    events = [orjson.loads(one.event + b"}") for one in parse_entry(stage.host.entries[-1]).items]
    return [(one["op"], one["class"], one["DBID"], one.get("delta")) for one in events]


def folder(stage: Stage, name: str, word: str, **more: Any) -> int:
    owner = {"type": "tenant", "DBID": more.pop("tenant", 1)}
    return stage.create("CfgFolder", name=name, type=word, ownerID=owner, **more)


def switch(stage: Stage, **more: Any) -> int:
    office = stage.create("CfgPhysicalSwitch", name="Office", type="sipswitch")
    return stage.create("CfgSwitch", tenantDBID=1, physSwitchDBID=office, name="SIP", **more)


def test_a_folder_hands_its_state_to_all_below_it_as_one_transaction(stage: Stage) -> None:
    outer = folder(stage, "outer", "skill")
    inner = folder(stage, "inner", "skill", folderDBID=outer)
    there = stage.create("CfgSkill", tenantDBID=1, name="a", folderDBID=inner)
    already = stage.create("CfgSkill", tenantDBID=1, name="b", folderDBID=inner, state="disabled")
    beside = stage.create("CfgSkill", tenantDBID=1, name="c")
    revision = stage.update("CfgFolder", outer, DISABLED)
    assert changed(stage) == [
        ("update", "CfgFolder", outer, DISABLED),
        ("update", "CfgFolder", inner, DISABLED),
        ("update", "CfgSkill", there, DISABLED),
    ]
    assert stage.object("CfgSkill", there)["revision"] == revision
    assert state(stage, "CfgSkill", beside) == "enabled"
    stage.update("CfgFolder", outer, ENABLED)
    assert state(stage, "CfgSkill", there) == state(stage, "CfgSkill", already) == "enabled"


def test_what_belongs_to_a_container_is_its_child(stage: Stage) -> None:
    sip = switch(stage)
    dn = stage.create("CfgDN", switchDBID=sip, type="extension", number="1")
    login = stage.create("CfgAgentLogin", switchDBID=sip, loginCode="1")
    place = stage.create("CfgPlace", tenantDBID=1, name="p", DNDBIDs=[dn])
    ivr = stage.create("CfgIVR", tenantDBID=1, name="i")
    port = stage.create("CfgIVRPort", IVRDBID=ivr, portNumber="1")
    enumerator = stage.create("CfgEnumerator", tenantDBID=1, name="e", displayName="e",
                              type="entcustom")  # fmt: skip
    value = stage.create("CfgEnumeratorValue", enumeratorDBID=enumerator, name="v")
    for name, dbid in (("CfgSwitch", sip), ("CfgIVR", ivr), ("CfgEnumerator", enumerator)):
        stage.update(name, dbid, DISABLED)
    assert disabled(stage) == {
        ("CfgSwitch", sip), ("CfgDN", dn), ("CfgAgentLogin", login), ("CfgIVR", ivr),
        ("CfgIVRPort", port), ("CfgEnumerator", enumerator), ("CfgEnumeratorValue", value),
    }  # fmt: skip
    assert state(stage, "CfgPlace", place) == "enabled"


def test_a_tenant_takes_along_all_that_it_has(stage: Stage) -> None:
    tenant = stage.create("CfgTenant", name="North")
    skill = stage.create("CfgSkill", tenantDBID=tenant, name="a")
    group = stage.create("CfgAgentGroup", groupInfo={"tenantDBID": tenant, "name": "g"})
    other = stage.create("CfgSkill", tenantDBID=1, name="a")
    stage.update("CfgTenant", tenant, DISABLED)
    found = disabled(stage)
    assert {("CfgTenant", tenant), ("CfgSkill", skill), ("CfgAgentGroup", group)} <= found
    assert {"CfgFolder", "CfgAccessGroup"} <= {name for name, _ in found}
    assert ("CfgSkill", other) not in found
    assert all(stage.object(*one).get("ownerID", {}).get("DBID", tenant) == tenant for one in found)


def test_the_last_command_counts_and_what_is_created_keeps_its_state(stage: Stage) -> None:
    at = folder(stage, "f", "skill")
    one, two = (
        stage.create("CfgSkill", tenantDBID=1, name=name, folderDBID=at) for name in ("a", "b")
    )
    outcome = stage.exec(
        ("CFG.UPDATE", "CfgSkill", one, DISABLED),
        ("CFG.UPDATE", "CfgSkill", one, ENABLED),
        ("CFG.UPDATE", "CfgFolder", at, DISABLED),
        ("CFG.UPDATE", "CfgSkill", two, ENABLED),
        ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "c", "folderDBID": at}),
    )
    assert outcome.error is None
    assert disabled(stage) == {("CfgFolder", at), ("CfgSkill", one)}


def test_stating_the_same_state_hands_nothing_down(stage: Stage) -> None:
    at = folder(stage, "f", "skill")
    skill = stage.create("CfgSkill", tenantDBID=1, name="a", folderDBID=at, state="disabled")
    stage.update("CfgFolder", at, {"changed": {"state": "enabled", "description": "d"}})
    assert state(stage, "CfgSkill", skill) == "disabled"


def test_built_in_objects_keep_their_state(stage: Stage) -> None:
    stage.update("CfgTenant", 1, DISABLED)
    for name, dbid in (("CfgPerson", 100), ("CfgApplication", 99), ("CfgAppPrototype", 99)):
        assert state(stage, name, dbid) == "enabled"
    assert state(stage, "CfgHost", 1) == "disabled"


def test_all_or_nothing_beyond_the_limit(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    at = folder(stage, "f", "skill")
    skills = [{"tenantDBID": 1, "name": f"s{number}", "folderDBID": at} for number in range(50)]
    assert stage.exec(*[("CFG.CREATE", "CfgSkill", skill) for skill in skills]).error is None
    monkeypatch.setattr("csp.rules.transaction.CHANGED_OBJECTS_MAX", 50)
    assert stage.refused("CFG.UPDATE", "CfgFolder", at, DISABLED).startswith("TOOBIG")
    monkeypatch.setattr("csp.rules.transaction.CHANGED_OBJECTS_MAX", 51)
    stage.update("CfgFolder", at, DISABLED)
    assert len(disabled(stage)) == 51
