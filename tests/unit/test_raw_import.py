"""Mutagen's raw form: what its DBIDs mean, what it spells otherwise, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.transfer.problems import ImportRefused
from csp.transfer.raw.words import SECTION_OF
from tests.unit.import_master import ImportMaster
from tests.unit.import_server import ImportServer
from tests.unit.importing import document, person, refused, run

METADATA = {"formatName": "RAW", "formatVersion": "1.1.1"}
TENANT = {"DBID": 7, "name": "acme"}
OWNER = {"CfgOwnerID": {"CSID": 0, "type": 7, "DBID": 7}}


def raw(**sections: Any) -> bytes:
    """A raw file; sections by class name without Cfg, a lone object for a list of one."""
    listed = {
        SECTION_OF[f"Cfg{name}"]: one if isinstance(one, list) else [one]
        for name, one in sections.items()
    }
    return json.dumps({"__metadata__": METADATA, **listed}).encode()


def numbered(employee: str, **more: Any) -> dict[str, Any]:
    return {"tenantDBID": 7, "employeeID": employee, "userName": f"u-{employee}", **more}


def only(problems: list[str]) -> str:
    (problem,) = problems
    return problem


@pytest.fixture
def server() -> ImportServer:
    return ImportServer()


@pytest.fixture
def master(tmp_path: Path) -> Iterator[ImportMaster]:
    master = ImportMaster(tmp_path)
    yield master
    master.close()


def found(server: ImportServer, class_name: str) -> list[dict[str, Any]]:
    return list(server.objects[class_name].values())


# ---------------------------------------------------------------------- what a DBID means


def test_dbids_lead_to_the_objects_of_the_files_in_any_order(server: ImportServer) -> None:
    groups = raw(
        AgentGroup={
            "CfgGroup": {"DBID": 900, "tenantDBID": 7, "name": "sales"},
            "agentDBIDs": {"DBID": [12, 11]},
        }
    )
    people = raw(Person=[numbered("a", DBID=11), numbered("b", DBID=12)], Tenant=TENANT)
    files = {"groups.json": groups, "people.json": people}
    assert run(server, files).plan.count == 4
    (group,) = found(server, "CfgAgentGroup")
    people_there = server.objects["CfgPerson"]
    assert [people_there[dbid]["employeeID"] for dbid in group["agentDBIDs"]] == ["b", "a"]
    assert not run(server, files).plan.count


def test_an_object_that_is_there_is_found_by_its_natural_key(server: ImportServer) -> None:
    tenants = [{"name": "other"}, {"name": "acme"}]
    run(server, {"a.json": document(tenants=tenants, persons=[person("a", firstName="Ann")])})
    (update,) = run(
        server, {"raw.json": raw(Tenant=TENANT, Person=numbered("a", firstName="Zoë"))}
    ).plan.updates
    assert update.paths == ["firstName"]
    assert [one["firstName"] for one in found(server, "CfgPerson")] == ["Zoë"]


def test_built_in_objects_are_the_servers_own(server: ImportServer) -> None:
    run(server, {"a.json": raw(Skill=[{"tenantDBID": 1, "name": "French"}, {"name": "Dutch"}])})
    assert [(one["tenantDBID"], one["name"]) for one in found(server, "CfgSkill")] == [
        (1, "French"),
        (1, "Dutch"),
    ]


def test_a_dbid_of_no_file_is_named_with_its_path(server: ImportServer) -> None:
    run(server, {"a.json": document(tenants=[{"name": "acme"}], places=[
        {"tenant": "acme", "name": "desk"}])})  # fmt: skip
    info = {"CfgAgentInfo": {"placeDBID": 101}}
    one = numbered("a", isAgent=2, agentInfo=info)
    problem = only(refused(server, {"raw.json": raw(Tenant=TENANT, Person=one)}))
    assert problem.startswith("raw.json: CFGPerson[0] (line 1) CfgPerson 'a' of CfgTenant 'acme'")
    assert problem.endswith("agentInfo.placeDBID: no file has a CfgPlace with the DBID 101")
    (scope,) = refused(server, {"raw.json": raw(Person=numbered("a"))})
    assert scope.endswith("tenantDBID: no file has a CfgTenant with the DBID 7")


def test_a_dbid_that_two_objects_have_is_refused(server: ImportServer) -> None:
    files = {"1.json": raw(Tenant=TENANT), "2.json": raw(Tenant={"DBID": 7, "name": "other"})}
    assert "DBID: 7 is also the DBID of 1.json, CFGTenant[0]" in only(refused(server, files))


def test_nothing_is_written_where_one_object_is_wrong(server: ImportServer) -> None:
    wrong = raw(Tenant=TENANT, Skill=[{"tenantDBID": 7, "name": "a"}, {"tenantDBID": 7}])
    assert only(refused(server, {"raw.json": wrong})).endswith("name: is missing")


# ---------------------------------------------------------------------- what it spells otherwise


def test_text_flags_and_enumerations_are_read_as_published(server: ImportServer) -> None:
    one = numbered("a", DBID=5, firstName=17, lastName=True, isAgent=1, isAdmin=0, state=2)
    one |= {"appRanks": {"CfgAppRank": {"appType": 20, "appRank": 2}}, "password": "********"}
    run(server, {"raw.json": raw(Tenant=TENANT, Person=one)})
    (there,) = found(server, "CfgPerson")
    assert (there["firstName"], there["lastName"]) == ("17", "true")
    assert (there["isAgent"], there["state"], there.get("isAdmin")) == (False, "disabled", None)
    assert there["appRanks"] == [{"appType": "ccview", "appRank": "designer"}]
    assert server.secrets == []


def test_an_annex_is_read_pair_by_pair(server: ImportServer) -> None:
    annex = {
        "list_pair": [
            {
                "key": "a",
                "str_pair": [{"key": "x", "value": "1,2"}, {"key": 5, "value": 8.5}],
                "int_pair": {"key": "n", "value": 3},
                "bin_pair": {"key": "b", "base64": "AAE="},
            },
            {"key": "empty"},
        ]
    }
    tenant = {**TENANT, "userProperties": annex}
    run(server, {"raw.json": raw(Tenant=tenant)})
    acme = next(one for one in found(server, "CfgTenant") if one["name"] == "acme")
    assert acme["userProperties"] == {
        "a": {"x": "1,2", "5": "8.5", "n": 3, "b": {"base64": "AAE="}},
        "empty": {},
    }


def test_folders_are_known_by_their_path_and_default_ones_are_the_servers(
    master: ImportMaster,
) -> None:
    folders = [
        {"DBID": 30, "name": "Personnes", "type": 3, "ownerID": OWNER, "folderDBID": 0},
        {"DBID": 32, "name": "Gare", "type": 3, "ownerID": OWNER, "folderDBID": 31},
        {"DBID": 31, "name": "Zürich", "type": 3, "ownerID": OWNER,
         "parentID": {"CfgParentID": {"type": 22, "DBID": 30}},
         "objectIDs": {"CfgObjectID": {"type": 3, "DBID": 12}}},
    ]  # fmt: skip
    people = [
        numbered("a", DBID=11, folderDBID=32),
        numbered("b", DBID=12),
        numbered("c", DBID=13, folderDBID=30),
    ]
    files = {"raw.json": raw(Tenant=TENANT, Folder=folders, Person=people)}
    run(master, files)
    there = {one["name"]: one for one in master.read("CfgFolder")}
    assert "Personnes" not in there
    root = there["Zürich"]["folderDBID"]
    assert master.object("CfgFolder", root)["name"] == "Persons"
    assert there["Gare"]["folderDBID"] == there["Zürich"]["DBID"]
    lie_in = {one["employeeID"]: one["folderDBID"] for one in master.read("CfgPerson")}
    assert [lie_in[name] for name in "abc"] == [
        there["Gare"]["DBID"],
        there["Zürich"]["DBID"],
        root,
    ]
    assert not run(master, files).plan.count


def test_a_reference_of_0_is_none(server: ImportServer) -> None:
    place = {"DBID": 3, "tenantDBID": 7, "name": "desk"}
    one = numbered("a", isAgent=2, agentInfo={"placeDBID": 3, "skillLevels": ""})
    run(server, {"raw.json": raw(Tenant=TENANT, Place=place, Person=one)})
    assert found(server, "CfgPerson")[0]["agentInfo"]["placeDBID"] == 101
    one["agentInfo"]["placeDBID"] = 0
    files = {"raw.json": raw(Tenant=TENANT, Place=place, Person=one)}
    assert run(server, files).plan.count == 1
    assert not found(server, "CfgPerson")[0]["agentInfo"].get("placeDBID")
    assert not run(server, files).plan.count


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("section", "value", "rule"),
    [
        ("Skill", {"name": "a", "level": 1}, "level: CfgSkill has no such attribute"),
        ("Skill", {"name": "a", "tenantDBID": "7"}, "tenantDBID: a DBID is expected, not a string"),
        ("Skill", {"name": "a", "DBID": -1}, "DBID: a DBID is expected, not a number"),
        ("Skill", {"name": "a", "state": 3}, "state: 3 is no number of CfgObjectState"),
        ("Tenant", {"name": "a", "isSuperTenant": 3},
         "isSuperTenant: 1 (no) or 2 (yes) is expected, not 3"),
        ("Tenant", {"name": "a", "userProperties": {"a": {"b": "c"}}},
         "userProperties: list_pair and nothing else is expected"),
        ("Tenant", {"name": "a", "userProperties": {"list_pair": {
            "key": "s", "bin_pair": {"key": "b", "value": "0A"}}}},
         'userProperties.list_pair.bin_pair: a binary value is read as "base64" only: no source '
         "says how it is written"),
        ("Place", {"name": "a", "DNDBIDs": 5}, "DNDBIDs: a list is expected, not a number"),
        ("Place", {"name": "a", "DNDBIDs": {"DBID": [5]}},
         "DNDBIDs.DBID[0]: no file has a CfgDN with the DBID 5"),
        ("AgentGroup", {"agentDBIDs": ""}, "groupInfo: an object is expected"),
        ("Folder", {"name": "a", "type": 99, "ownerID": {"type": 7, "DBID": 1}},
         "type: 99 is no CfgObjectType"),
        ("Application", {"name": "a", "appPrototypeDBID": 99,
                         "appServerDBIDs": {"CfgConnectionInfo": [{"id": "x"}]}},
         "no file and no server has the built-in CfgAppPrototype:99"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    server: ImportServer, section: str, value: dict[str, Any], rule: str
) -> None:
    problems = refused(server, {"raw.json": raw(**{section: value})})
    assert any(one.startswith(f"raw.json: CFG{section}[0]") and one.endswith(rule)
               for one in problems), problems  # fmt: skip


def test_a_member_without_its_key_is_the_servers_that_is_so(master: ImportMaster) -> None:
    applications = [
        {"name": "stat", "appPrototype": "Stat_Server"},
        {"name": "desk", "appPrototype": "Agent_Desktop",
         "appServers": [{"appServer": "stat", "id": "first"}]},
    ]  # fmt: skip
    run(master, {"a.json": document(applications=applications)})
    link = {"id": "first", "description": "main"}
    file = raw(Application={"name": "desk", "appServerDBIDs": {"CfgConnectionInfo": link}})
    assert only(refused_by(master, file)).endswith(
        "appServerDBIDs[0].appServerDBID: is missing, and 0 members on the server are as this one "
        "is stated"
    )
    del link["description"]
    same = raw(Application={"name": "desk", "appServerDBIDs": {"CfgConnectionInfo": link}})
    assert not run(master, {"a.json": same}).plan.count


def refused_by(master: ImportMaster, file: bytes) -> list[str]:
    with pytest.raises(ImportRefused) as refusal:
        run(master, {"raw.json": file})
    return [str(one) for one in refusal.value.problems.found]
