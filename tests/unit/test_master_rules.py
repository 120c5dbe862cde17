"""Each rule of the object model at the master: the word, and that the text names what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from csp.errors import CspError
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage


@pytest.fixture
def stage(seeded: Place) -> Iterator[Stage]:
    found = Stage(seeded)
    yield found
    found.close()


def person(name: str, **more: Any) -> dict[str, Any]:
    return {"tenantDBID": 1, "userName": name, "employeeID": f"e-{name}", **more}


def server(stage: Stage, name: str, **more: Any) -> int:
    plain = {"name": name, "appPrototypeDBID": 2, "isServer": True, "tenantDBIDs": [1],
             "workDirectory": "/", "commandLine": "run"}  # fmt: skip
    return stage.create("CfgApplication", **{**plain, **more})


def switch(stage: Stage, name: str = "SIP", **more: Any) -> int:
    offices = [one for one in stage.host.records if one[0] == 11]
    office = (
        offices[0][1]
        if offices
        else stage.create("CfgPhysicalSwitch", name="Office", type="sipswitch")
    )
    return stage.create("CfgSwitch", tenantDBID=1, physSwitchDBID=office, name=name, **more)


REFUSED_CREATES = [
    ("CfgNothing", {}, "BADCLASS", "CfgNothing"),
    ("cfgskill", {"tenantDBID": 1, "name": "E"}, "BADCLASS", "cfgskill"),
    ("CfgSkill", {"name": "English"}, "MANDATORY", "tenantDBID"),
    ("CfgSkill", {"tenantDBID": 1}, "MANDATORY", "name"),
    ("CfgSkill", {"tenantDBID": 1, "name": ""}, "MANDATORY", "name"),
    ("CfgSkill", {"tenantDBID": 9, "name": "English"}, "NOREF", "tenantDBID"),
    ("CfgSkill", {"tenantDBID": 1, "name": "E", "colour": 1}, "BADVALUE", "colour"),
    ("CfgSkill", {"tenantDBID": 1, "name": 7}, "BADVALUE", "name"),
    ("CfgSkill", {"tenantDBID": 1, "name": "x" * 256}, "TOOBIG", "name"),
    ("CfgSkill", {"tenantDBID": 1, "name": "a\0b"}, "BADVALUE", "name"),
    ("CfgSkill", {"tenantDBID": 1, "name": "E", "state": "asleep"}, "BADVALUE", "state"),
    ("CfgSkill", {"tenantDBID": 1, "name": "E", "DBID": 7}, "BADVALUE", "DBID"),
    ("CfgSkill", {"tenantDBID": 1, "name": "E", "folderDBID": 999}, "NOREF", "folderDBID"),
    ("CfgSkill", {"tenantDBID": 1, "name": "E", "folderDBID": 3}, "BADVALUE", "folderDBID"),
    ("CfgSkill", {"tenantDBID": 1, "name": "E", "folderDBID": 0}, "MANDATORY", "folderDBID"),
    ("CfgPerson", person("a", isAgent=True), "MANDATORY", "agentInfo"),
    ("CfgPerson", person("a", agentInfo={}), "BADVALUE", "agentInfo"),
    ("CfgPerson", person("default"), "UNIQUE", 'userName "default"'),
    ("CfgPerson", person("a", isAgent=True, agentInfo={"placeDBID": 7}), "NOREF", "placeDBID"),
    ("CfgPerson", person("a", isAgent=True, agentInfo={"skillLevels": [{"level": 7}]}),
     "MANDATORY", "skillDBID"),
    ("CfgApplication", {"name": "x", "tenantDBIDs": [1]}, "MANDATORY", "appPrototypeDBID"),
    ("CfgApplication", {"name": "x", "appPrototypeDBID": 2, "isServer": True,
                        "commandLine": "run"}, "MANDATORY", "workDirectory"),
    ("CfgApplication", {"name": "x", "appPrototypeDBID": 2, "isServer": True,
                        "workDirectory": "/"}, "MANDATORY", "commandLine"),
    ("CfgApplication", {"name": "default", "appPrototypeDBID": 2}, "UNIQUE", 'name "default"'),
    ("CfgHost", {"name": "h", "LCAPort": "10000"}, "BADVALUE", "LCAPort"),
    ("CfgHost", {"name": "h", "LCAPort": "many"}, "BADVALUE", "LCAPort"),
    ("CfgHost", {"name": "h", "IPaddress": "1" * 65}, "TOOBIG", "IPaddress"),
    ("CfgFolder", {"name": "f", "type": "skill", "ownerID": {"type": "tenant", "DBID": 9}},
     "NOREF", ""),
    ("CfgFolder", {"name": "f", "type": "skill", "folderDBID": 3,
                   "ownerID": {"type": "tenant", "DBID": 1}}, "BADVALUE", "folderDBID"),
    ("CfgFolder", {"name": "f", "type": "skill", "folderDBID": 0,
                   "ownerID": {"type": "tenant", "DBID": 1}}, "MANDATORY", "folderDBID"),
    ("CfgFolder", {"name": "f", "type": "noobject", "ownerID": {"type": "tenant", "DBID": 1}},
     "NOREF", "noobject"),
    ("CfgAccessGroup", {"groupInfo": {"tenantDBID": 1, "name": "Users"}, "type": "usersgroup"},
     "UNIQUE", "groupInfo.name"),
    ("CfgAccessGroup", {"groupInfo": {"tenantDBID": 1, "name": "G"}}, "MANDATORY", "type"),
    ("CfgAccessGroup", {"groupInfo": {"tenantDBID": 1, "name": "G", "managerDBIDs": [100]},
                        "type": "defaultgroup"}, "BADVALUE", "managerDBIDs"),
    ("CfgAccessGroup", {"groupInfo": {"tenantDBID": 1, "name": "G"}, "type": "defaultgroup",
                        "memberIDs": [{"type": "host", "DBID": 1}]}, "BADVALUE", "memberIDs"),
    ("CfgAccessGroup", {"groupInfo": {"tenantDBID": 1, "name": "G"}, "type": "defaultgroup",
                        "memberIDs": [{"type": "person", "DBID": 9}]}, "NOREF", "memberIDs"),
]  # fmt: skip


@pytest.mark.parametrize(("class_name", "attributes", "word", "named"), REFUSED_CREATES)
def test_a_create_that_breaks_a_rule(
    stage: Stage, class_name: str, attributes: dict[str, Any], word: str, named: str
) -> None:
    line = stage.refused("CFG.CREATE", class_name, attributes)
    assert line.split(" ", 1)[0] == word, line
    assert named in line, line


def test_malformed_commands(stage: Stage) -> None:
    assert stage.refused("CFG.CREATE", "CfgSkill", b"{").startswith("BADVALUE")
    assert stage.refused("CFG.CREATE", "CfgSkill", b"[]").startswith("BADVALUE")
    assert stage.refused("CFG.UPDATE", "CfgSkill", 7, {"changed": {}}).startswith("BADKEY")
    assert stage.refused("CFG.DELETE", "CfgSkill", "seven").startswith("BADKEY")
    assert stage.refused("CFG.DELETE", "CfgSkill", 7).startswith("BADKEY there is no CfgSkill:7")


def test_an_error_in_a_transaction_names_its_command(stage: Stage) -> None:
    line = stage.refused_exec(
        ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "English"}),
        ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "German"}),
        ("CFG.CREATE", "CfgSkill", {"tenantDBID": 7, "name": "French"}),
    )
    assert line.startswith("EXECABORT NOREF command 3: ")
    assert "tenantDBID" in line


def test_what_is_fixed_stays(stage: Stage) -> None:
    skill = stage.create("CfgSkill", tenantDBID=1, name="English")
    line = stage.refused("CFG.UPDATE", "CfgSkill", skill, {"changed": {"tenantDBID": 7}})
    assert line.startswith("IMMUTABLE")
    assert "tenantDBID" in line
    line = stage.refused("CFG.UPDATE", "CfgPerson", 100, {"changed": {"isAgent": True}})
    assert line.startswith("IMMUTABLE")
    login = stage.create("CfgAgentLogin", switchDBID=switch(stage), loginCode="5001")
    line = stage.refused("CFG.UPDATE", "CfgAgentLogin", login, {"changed": {"tenantDBID": 7}})
    assert line.startswith("IMMUTABLE")
    line = stage.refused("CFG.UPDATE", "CfgAppPrototype", 2, {"changed": {"version": "9"}})
    assert line.startswith("IMMUTABLE")


def test_what_is_derived_follows_its_source(stage: Stage) -> None:
    sip = switch(stage)
    assert stage.object("CfgSwitch", sip)["type"] == "sipswitch"
    dn = stage.create("CfgDN", switchDBID=sip, type="extension", number="7001")
    assert stage.object("CfgDN", dn)["tenantDBID"] == 1
    line = stage.refused(
        "CFG.CREATE", "CfgDN",
        {"switchDBID": sip, "type": "extension", "number": "7002", "tenantDBID": 7})  # fmt: skip
    assert line.split(" ", 1)[0] in ("BADVALUE", "IMMUTABLE")
    assert "tenantDBID" in line
    application = server(stage, "T1")
    assert stage.object("CfgApplication", application)["type"] == "tserver"


def test_numbers_are_unique_in_a_switch_but_for_destination_labels(stage: Stage) -> None:
    sip, other = switch(stage), switch(stage, "Other")
    stage.create("CfgDN", switchDBID=sip, type="extension", number="7001")
    line = stage.refused(
        "CFG.CREATE", "CfgDN", {"switchDBID": sip, "type": "acdqueue", "number": "7001"}
    )
    assert line.startswith('UNIQUE number "7001"')
    stage.create("CfgDN", switchDBID=other, type="extension", number="7001")
    for _ in range(2):
        stage.create("CfgDN", switchDBID=sip, type="destinationlabel", number="7001")
    stage.create("CfgDN", switchDBID=sip, type="accessresource", number="7001")
    line = stage.refused(
        "CFG.CREATE", "CfgDN", {"switchDBID": sip, "type": "accessresource", "number": "7001"}
    )
    assert line.startswith("UNIQUE")
    stage.create("CfgAgentLogin", switchDBID=sip, loginCode="7001")
    line = stage.refused("CFG.CREATE", "CfgAgentLogin", {"switchDBID": sip, "loginCode": "7001"})
    assert line.startswith('UNIQUE loginCode "7001"')


def test_an_enumerator_may_have_several_values_that_are_the_default(stage: Stage) -> None:
    enumerator = stage.create("CfgEnumerator", tenantDBID=1, name="e", displayName="e",
                              type="entrole")  # fmt: skip
    for name in ("first", "second"):
        value = {"enumeratorDBID": enumerator, "name": name, "isDefault": True}
        stage.create("CfgEnumeratorValue", **value)


def test_a_prototype_may_be_of_no_version_but_has_a_type(stage: Stage) -> None:
    stage.create("CfgAppPrototype", name="any", type="genericserver")
    line = stage.refused("CFG.CREATE", "CfgAppPrototype", {"name": "none", "version": "8.5"})
    assert line.split(" ", 1)[0] == "MANDATORY", line
    assert "type" in line, line


def test_names_compare_byte_by_byte(stage: Stage) -> None:
    for name in ("english", "English", "Énglish", "E\u0301nglish", "ENGLISH ", "ENGLISH"):
        stage.create("CfgSkill", tenantDBID=1, name=name)


def test_a_tserver_serves_one_switch_and_lists_its_tenant(stage: Stage) -> None:
    tserver = server(stage, "T1")
    foreign = server(stage, "T2", tenantDBIDs=[])
    sip = switch(stage, TServerDBID=tserver)
    office = stage.object("CfgSwitch", sip)["physSwitchDBID"]
    plain = {"tenantDBID": 1, "physSwitchDBID": office, "name": "B"}
    line = stage.refused("CFG.CREATE", "CfgSwitch", {**plain, "TServerDBID": tserver})
    assert line.startswith("UNIQUE TServerDBID")
    line = stage.refused("CFG.CREATE", "CfgSwitch", {**plain, "TServerDBID": foreign})
    assert line.startswith("BADVALUE")
    assert "TServerDBID" in line
    line = stage.refused("CFG.UPDATE", "CfgApplication", tserver, {"deleted": {"tenantDBIDs": [1]}})
    assert line.startswith("BADVALUE")
    assert f"CfgSwitch:{sip}" in line
    stage.delete("CfgApplication", tserver)
    assert stage.object("CfgSwitch", sip)["TServerDBID"] == 0


def test_a_group_keeps_its_name_while_it_has_members(stage: Stage) -> None:
    ann = stage.create("CfgPerson", **person("ann", isAgent=True, agentInfo={}))
    group = stage.create("CfgAgentGroup", groupInfo={"tenantDBID": 1, "name": "Sales"},
                         agentDBIDs=[ann])  # fmt: skip
    rename = {"changed": {"groupInfo.name": "Service"}}
    line = stage.refused("CFG.UPDATE", "CfgAgentGroup", group, rename)
    assert line.startswith("IMMUTABLE")
    assert "groupInfo.name" in line
    stage.update("CfgAgentGroup", group, {"deleted": {"agentDBIDs": [ann]}})
    stage.update("CfgAgentGroup", group, rename)


def test_managers_and_routing_points_of_groups(stage: Stage) -> None:
    north = stage.create("CfgTenant", name="North")
    other = stage.create("CfgTenant", name="South")
    foreign = stage.create("CfgPerson", **person("sue", tenantDBID=other))
    sip = switch(stage)
    extension = stage.create("CfgDN", switchDBID=sip, type="extension", number="1")
    queue = stage.create("CfgDN", switchDBID=sip, type="acdqueue", number="2")
    group = {"tenantDBID": north, "name": "Sales"}
    line = stage.refused(
        "CFG.CREATE", "CfgAgentGroup", {"groupInfo": {**group, "managerDBIDs": [foreign]}}
    )
    assert line.startswith("BADVALUE")
    assert f"CfgPerson:{foreign}" in line
    line = stage.refused(
        "CFG.CREATE", "CfgAgentGroup", {"groupInfo": {**group, "routeDNDBIDs": [extension]}}
    )
    assert line.startswith("BADVALUE")
    assert "extension" in line
    stage.create("CfgAgentGroup", groupInfo={**group, "managerDBIDs": [100],
                                             "routeDNDBIDs": [queue]})  # fmt: skip


def test_a_host_keeps_its_name_while_servers_are_assigned(stage: Stage) -> None:
    host = stage.create("CfgHost", name="h1", LCAPort="80")
    assert stage.object("CfgHost", host)["LCAPort"] == "4999"
    application = server(stage, "T1", serverInfo={"hostDBID": host, "port": "3000"})
    rename = {"changed": {"name": "h2"}}
    line = stage.refused("CFG.UPDATE", "CfgHost", host, rename)
    assert line.startswith("IMMUTABLE")
    assert f"CfgApplication:{application}" in line
    outcome = stage.exec(
        ("CFG.UPDATE", "CfgHost", host, rename),
        ("CFG.UPDATE", "CfgApplication", application, {"changed": {"serverInfo.hostDBID": 1}}),
    )
    assert outcome.error is None
    assert stage.object("CfgHost", host)["name"] == "h2"


def test_what_is_built_in_or_used_stays(stage: Stage) -> None:
    assert stage.refused("CFG.DELETE", "CfgAppPrototype", 99).startswith("IMMUTABLE")
    assert stage.refused("CFG.DELETE", "CfgAppPrototype", 100).startswith("IMMUTABLE")
    assert stage.refused("CFG.DELETE", "CfgTenant", 1).startswith("IMMUTABLE")
    assert stage.refused("CFG.DELETE", "CfgFolder", 6).startswith("IMMUTABLE CfgFolder:6")
    application = server(stage, "T1")
    line = stage.refused("CFG.DELETE", "CfgAppPrototype", 2)
    assert line.startswith(f"INUSE CfgAppPrototype:2 is needed by CfgApplication:{application}")
    stage.delete("CfgApplication", application)
    stage.delete("CfgAppPrototype", 2)


def test_folders_nest_without_cycles_and_keep_to_one_type(stage: Stage) -> None:
    owner = {"type": "tenant", "DBID": 1}
    outer = stage.create("CfgFolder", name="outer", type="skill", ownerID=owner)
    around = stage.object("CfgFolder", stage.object("CfgFolder", outer)["folderDBID"])
    assert (around["name"], around["type"], around["ownerID"]) == ("Skills", "skill", owner)
    inner = stage.create("CfgFolder", name="inner", type="skill", ownerID=owner, folderDBID=outer)
    line = stage.refused("CFG.UPDATE", "CfgFolder", outer, {"changed": {"folderDBID": inner}})
    assert line.startswith("BADVALUE")
    assert "ancestor" in line
    line = stage.refused(
        "CFG.CREATE", "CfgFolder",
        {"name": "inner", "type": "skill", "ownerID": owner, "folderDBID": outer})  # fmt: skip
    assert line.startswith("UNIQUE")
    skill = stage.create("CfgSkill", tenantDBID=1, name="English", folderDBID=inner)
    assert stage.refused("CFG.DELETE", "CfgFolder", inner).startswith("INUSE")
    north = stage.create("CfgTenant", name="North")
    line = stage.refused(
        "CFG.CREATE", "CfgSkill", {"tenantDBID": north, "name": "E", "folderDBID": inner}
    )
    assert line.startswith("BADVALUE")
    assert "tenant" in line
    stage.delete("CfgSkill", skill)
    stage.delete("CfgFolder", inner)


def test_tenants_do_not_descend_from_themselves(stage: Stage) -> None:
    north = stage.create("CfgTenant", name="North")
    south = stage.create("CfgTenant", name="South", parentTenantDBID=north)
    line = stage.refused("CFG.UPDATE", "CfgTenant", north, {"changed": {"parentTenantDBID": south}})
    assert line.startswith("BADVALUE")
    assert "ancestor" in line


def test_deltas_say_what_they_mean(stage: Stage) -> None:
    skills = [stage.create("CfgSkill", tenantDBID=1, name=f"skill {n}") for n in range(3)]
    ann = stage.create(
        "CfgPerson",
        **person(
            "ann", isAgent=True, agentInfo={"skillLevels": [{"skillDBID": skills[0], "level": 5}]}
        ),
    )
    levels = "agentInfo.skillLevels"
    stage.update(
        "CfgPerson",
        ann,
        {
            "changed": {levels: [{"skillDBID": skills[0], "level": 0}], "firstName": ""},
            "added": {levels: [{"skillDBID": skills[1], "level": 2}]},
        },
    )
    assert stage.object("CfgPerson", ann)["agentInfo"]["skillLevels"] == [
        {"skillDBID": skills[0], "level": 0},
        {"skillDBID": skills[1], "level": 2},
    ]
    assert stage.object("CfgPerson", ann)["firstName"] == ""
    again = {"added": {levels: [{"skillDBID": skills[1], "level": 9}]}}
    assert stage.refused("CFG.UPDATE", "CfgPerson", ann, again).startswith("UNIQUE")
    absent = {"deleted": {levels: [{"skillDBID": skills[2]}]}}
    assert stage.refused("CFG.UPDATE", "CfgPerson", ann, absent).startswith("BADVALUE")
    nowhere = {"added": {levels: [{"skillDBID": 999, "level": 9}]}}
    assert stage.refused("CFG.UPDATE", "CfgPerson", ann, nowhere).startswith("NOREF")
    outcome = stage.exec(
        ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "new"}),
        ("CFG.UPDATE", "CfgPerson", ann, {"added": {levels: [{"skillDBID": "@1", "level": 1}]},
                                          "deleted": {levels: [skills[0]]}}))  # fmt: skip
    assert outcome.error is None
    assert [one["skillDBID"] for one in stage.object("CfgPerson", ann)["agentInfo"]["skillLevels"]
            ] == [skills[1], outcome.results[0]]  # fmt: skip


def test_a_refused_write_leaves_no_id_behind(stage: Stage) -> None:
    bad = stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 7, "name": "E"}, write_id="w")
    assert isinstance(bad.error, CspError)
    good = stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "E"}, write_id="w")
    assert good.error is None


def test_a_command_may_not_refer_to_what_an_earlier_one_deleted(stage: Stage) -> None:
    skill = stage.create("CfgSkill", tenantDBID=1, name="English")
    info = {"skillLevels": [{"skillDBID": skill, "level": 1}]}
    line = stage.refused_exec(
        ("CFG.DELETE", "CfgSkill", skill),
        ("CFG.CREATE", "CfgPerson", person("ann", isAgent=True, agentInfo=info)),
    )
    assert line.startswith("EXECABORT NOREF command 2: ")
    outcome = stage.exec(
        ("CFG.CREATE", "CfgPerson", person("ann", isAgent=True, agentInfo=info)),
        ("CFG.DELETE", "CfgSkill", skill),
    )
    assert outcome.error is None
    assert stage.object("CfgPerson", outcome.results[0])["agentInfo"] == {}
