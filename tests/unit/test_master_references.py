"""What an object refers to, and what is left of it when a reference is cleared."""

from __future__ import annotations

from typing import Any

import pytest

from csp.model.delta import make_delta
from csp.model.types import CLASSES
from csp.rules.references import clear, references_of, references_to

PERSON: dict[str, Any] = {
    "class": "CfgPerson",
    "DBID": 101,
    "folderDBID": 120,
    "tenantDBID": 1,
    "agentInfo": {
        "placeDBID": 9,
        "skillLevels": [{"skillDBID": 5, "level": 1}, {"skillDBID": 6, "level": 2}],
        "contractDBID": 77,
    },
    "assignedTenantDBIDs": [2, 3],
}


NEEDED = True  # what it names can't be deleted; else the reference is cleared


def listed(class_name: str, obj: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Path, class, DBID of each reference, and NEEDED for those that are."""
    return [
        (site.path, target, dbid, NEEDED) if site.needed else (site.path, target, dbid)
        for site, target, dbid in references_of(CLASSES[class_name], obj)
    ]


def without(class_name: str, obj: dict[str, Any], target: str, dbid: int) -> dict[str, Any]:
    """The object after the deletion of what it refers to."""
    key = (CLASSES[target].id, dbid)
    return clear(obj, references_to(CLASSES[class_name], obj, key), key)


def test_every_reference_is_listed() -> None:
    assert listed("CfgPerson", PERSON) == [
        ("folderDBID", "CfgFolder", 120, NEEDED),
        ("tenantDBID", "CfgTenant", 1, NEEDED),
        ("agentInfo.placeDBID", "CfgPlace", 9),
        ("agentInfo.skillLevels[].skillDBID", "CfgSkill", 5),
        ("agentInfo.skillLevels[].skillDBID", "CfgSkill", 6),
        ("agentInfo.contractDBID", "CfgObjectiveTable", 77),
        ("assignedTenantDBIDs[]", "CfgTenant", 2),
        ("assignedTenantDBIDs[]", "CfgTenant", 3),
    ]


def test_pairs_are_references_too() -> None:
    group = {
        "DBID": 1,
        "memberIDs": [{"type": "person", "DBID": 4}, {"type": "personlastlogin", "DBID": 5}],
        "groupInfo": {"managerDBIDs": [8]},
    }
    assert listed("CfgAccessGroup", group) == [
        ("groupInfo.managerDBIDs[]", "CfgPerson", 8),
        ("memberIDs[]", "CfgPerson", 4),
        ("memberIDs[]", "", 5),  # no class is meant
    ]
    role = {"DBID": 1, "members": [{"objectType": "accessgroup", "objectDBID": 6}]}
    assert listed("CfgRole", role) == [("members[]", "CfgAccessGroup", 6)]
    beside = {"DBID": 1, "campaignDBID": 2, "groupType": "placegroup", "groupDBID": 7}
    assert listed("CfgCampaignGroup", beside) == [
        ("campaignDBID", "CfgCampaign", 2, NEEDED),
        ("groupDBID", "CfgPlaceGroup", 7),
    ]
    owner = {"DBID": 1, "ownerID": {"type": "tenant", "DBID": 3}}
    assert listed("CfgFolder", owner) == [("ownerID", "CfgTenant", 3, NEEDED)]


@pytest.mark.parametrize(
    ("class_name", "dbid", "delta"),
    [
        ("CfgPlace", 9, {"changed": {"agentInfo.placeDBID": 0}}),
        ("CfgSkill", 5, {"deleted": {"agentInfo.skillLevels": [5]}}),
        ("CfgTenant", 3, {"deleted": {"assignedTenantDBIDs": [3]}}),
    ],
)
def test_clearing_a_reference(class_name: str, dbid: int, delta: dict[str, Any]) -> None:
    cleared = without("CfgPerson", PERSON, class_name, dbid)
    assert make_delta(CLASSES["CfgPerson"], PERSON, cleared) == delta
    assert references_to(CLASSES["CfgPerson"], cleared, (CLASSES[class_name].id, dbid)) == []


def test_clearing_members_and_pairs() -> None:
    group = {"DBID": 1, "memberIDs": [{"type": "person", "DBID": 4}]}
    assert "memberIDs" not in without("CfgAccessGroup", group, "CfgPerson", 4)
    app = {"DBID": 1, "logonAs": {"type": "person", "DBID": 4}}
    assert "logonAs" not in without("CfgApplication", app, "CfgPerson", 4)
    members = [{"objectType": kind, "objectDBID": 4} for kind in ("person", "accessgroup")]
    left = without("CfgRole", {"DBID": 1, "members": members}, "CfgPerson", 4)
    assert left["members"] == members[1:]
    beside = {"DBID": 1, "groupType": "agentgroup", "groupDBID": 4}
    assert "groupDBID" not in without("CfgCampaignGroup", beside, "CfgAgentGroup", 4)
