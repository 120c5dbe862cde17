"""Grants at the master: the commands, what is stored of them, and with what they go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from csp.model.entry import parse_entry
from csp.model.history import HistoryQuestion, parts_of
from csp.model.types import GRANTS_CLASS_ID
from csp.process.own_options import OwnOptions
from csp.rules import transaction
from tests.neighbours.databases import Place
from tests.unit.grants_stage import EVERY, OF_NEW_DATABASE, SUPERS, USERS, GrantsStage


@pytest.fixture
def stage(seeded: Place) -> Iterator[GrantsStage]:
    found = GrantsStage(seeded)
    yield found
    found.close()


def folder(stage: GrantsStage, name: str, above: int | None = None) -> int:
    """A folder for skills of Environment; at the top in the default one."""
    placed = {} if above is None else {"folderDBID": above}
    owner = {"type": "tenant", "DBID": 1}
    return stage.create("CfgFolder", name=name, type="skill", ownerID=owner, **placed)


def person(stage: GrantsStage, name: str) -> int:
    return stage.create("CfgPerson", tenantDBID=1, userName=name, employeeID=name, isAgent=False)


def group(stage: GrantsStage, name: str, *persons: int) -> int:
    members = [{"type": "person", "DBID": dbid} for dbid in persons]
    return stage.create(
        "CfgAccessGroup", groupInfo={"tenantDBID": 1, "name": name}, type="defaultgroup",
        **({"memberIDs": members} if members else {}),
    )  # fmt: skip


def events(stage: GrantsStage, since: int) -> list[dict[str, Any]]:
    """What the history shows of the changes after a revision."""
    for page in stage.records.history(HistoryQuestion(since, 100)):
        if page is not None:
            return [
                one
                for record in page.records
                for one in orjson.loads(parts_of(record)[0])["changes"]
            ]
    raise AssertionError("the history has no page")


def test_a_grant_is_stored_and_published(stage: GrantsStage) -> None:
    ann, skills = person(stage, "ann"), folder(stage, "north")
    before = stage.host.published
    assert stage.grant(f"CfgFolder:{skills}", f"CfgPerson:{ann}", "R,U,propagate") == before + 1
    assert stage.grants(f"CfgFolder:{skills}") == {f"CfgPerson:{ann}": "R,U,propagate"}
    stage.grant(f"CfgFolder:{skills}", "SYSTEM", "none")
    stage.grant(f"CfgFolder:{skills}", f"CfgPerson:{ann}", "X")
    assert stage.grants(f"CfgFolder:{skills}") == {"SYSTEM": "none", f"CfgPerson:{ann}": "X"}
    stage.revoke(f"CfgFolder:{skills}", "SYSTEM")
    assert stage.grants(f"CfgFolder:{skills}") == {f"CfgPerson:{ann}": "X"}
    assert stage.stored_grants() == stage.all_grants()
    stage.load_again()


def test_what_stands_already_changes_nothing(stage: GrantsStage) -> None:
    skills = folder(stage, "north")
    revision = stage.grant(f"CfgFolder:{skills}", "SYSTEM", "R,X")
    assert stage.grant(f"CfgFolder:{skills}", "SYSTEM", "X,R") == revision
    assert stage.revoke(f"CfgFolder:{skills}", "CfgPerson:100") == revision
    assert stage.host.published == revision
    outcome = stage.exec(("CFG.REVOKE", f"CfgFolder:{skills}", "SYSTEM"),
                         ("CFG.GRANT", f"CfgFolder:{skills}", "SYSTEM", "R,X"))  # fmt: skip
    assert outcome.revision == revision


def test_the_first_grant_marks_the_object_and_the_next_write_takes_the_mark(
    stage: GrantsStage,
) -> None:
    ann = f"CfgPerson:{person(stage, 'ann')}"
    dbid = stage.create("CfgSkill", tenantDBID=1, name="a")
    key = f"CfgSkill:{dbid}"
    made = stage.object("CfgSkill", dbid)
    assert not stage.is_marked(key)
    revision = stage.grant(key, "SYSTEM", "R")
    assert stage.is_marked(key)
    assert stage.object("CfgSkill", dbid) == {**made, "revision": revision}
    ops = [(one.op, one.class_id) for one in parse_entry(stage.host.entries[-1]).items]
    assert ops == [("update", 13), ("create", GRANTS_CLASS_ID)]
    # More grants leave the object as it is, and so does the end of the last one.
    stage.grant(key, ann, "R")
    ops = [(one.op, one.class_id) for one in parse_entry(stage.host.entries[-1]).items]
    assert ops == [("update", GRANTS_CLASS_ID)]
    stage.revoke(key, "SYSTEM")
    stage.revoke(key, ann)
    assert stage.is_marked(key)
    assert stage.object("CfgSkill", dbid)["revision"] == revision
    stage.load_again()
    assert stage.is_marked(key)
    stage.grant(key, "SYSTEM", "R")
    assert stage.object("CfgSkill", dbid)["revision"] == revision
    stage.update("CfgSkill", dbid, {"changed": {"name": "b"}})
    assert stage.is_marked(key)
    stage.revoke(key, "SYSTEM")
    stage.update("CfgSkill", dbid, {"changed": {"name": "c"}})
    assert not stage.is_marked(key)
    stage.load_again()


def test_a_tenant_needs_no_mark(stage: GrantsStage) -> None:
    before = stage.object("CfgTenant", 1)
    stage.grant("CfgTenant:1", "CfgAccessGroup:1", "X")
    assert stage.object("CfgTenant", 1) == before
    assert stage.grants("CfgTenant:1")["CfgAccessGroup:1"] == "X"
    stage.update("CfgTenant", 1, {"changed": {"chargeableNumber": "7"}})
    assert not stage.is_marked("CfgTenant:1")


def test_commands_of_one_transaction_refer_to_each_other(stage: GrantsStage) -> None:
    owner = {"type": "tenant", "DBID": 1}
    one = {"tenantDBID": 1, "userName": "u", "employeeID": "e", "isAgent": False}
    outcome = stage.exec(
        ("CFG.CREATE", "CfgFolder", {"name": "f", "type": "skill", "ownerID": owner}),
        ("CFG.GRANT", "CfgFolder:@1", "CfgPerson:@3", "R,propagate"),
        ("CFG.CREATE", "CfgPerson", one),
        ("CFG.GRANT", "CfgFolder:@1", "SYSTEM", "R"),
        ("CFG.REVOKE", "CfgFolder:@1", "SYSTEM"),
    )
    made, _, ann, *_ = outcome.results
    assert outcome.error is None
    assert stage.grants(f"CfgFolder:{made}") == {f"CfgPerson:{ann}": "R,propagate"}
    assert stage.is_marked(f"CfgFolder:{made}")
    stage.load_again()


def test_what_is_not_there_is_refused(stage: GrantsStage) -> None:
    skills = folder(stage, "north")
    key = f"CfgFolder:{skills}"
    refused = stage.refused
    assert refused("CFG.GRANT", "CfgFolder:999", "SYSTEM", "R").startswith("BADKEY there is no")
    assert refused("CFG.GRANT", key, "CfgPerson:999", "R").startswith("NOREF")
    assert refused("CFG.GRANT", key, "CfgSkill:1", "R").startswith("BADVALUE")
    assert refused("CFG.GRANT", key, "SYSTEM", "R,W").startswith("BADVALUE 'W' is no right")
    assert refused("CFG.GRANT", key, "SYSTEM", "").startswith("BADVALUE")
    assert refused("CFG.GRANT", key, "SYSTEM", "R", "IF", 1).startswith("BADVALUE")
    assert refused("CFG.GRANT", "CfgNothing:1", "SYSTEM", "R").startswith("BADCLASS")
    ann = person(stage, "ann")
    line = stage.refused_exec(
        ("CFG.DELETE", "CfgPerson", ann), ("CFG.GRANT", key, f"CfgPerson:{ann}", "R")
    )
    assert line.startswith("EXECABORT NOREF command 2: ")
    line = stage.refused_exec(("CFG.GRANT", "CfgFolder:@1", "SYSTEM", "R"))
    assert line.startswith("EXECABORT BADKEY command 1: @1")
    # Revoking from who isn't there any more is no mistake.
    assert stage.revoke(key, "CfgPerson:999") == stage.host.published


def test_grants_go_with_their_object(stage: GrantsStage) -> None:
    dbid = stage.create("CfgSkill", tenantDBID=1, name="a")
    stage.grant(f"CfgSkill:{dbid}", "SYSTEM", "R")
    before = stage.host.published
    stage.delete("CfgSkill", dbid)
    assert stage.grants(f"CfgSkill:{dbid}") == {}
    assert f"CfgSkill:{dbid}" not in stage.stored_grants()
    assert [one["op"] for one in events(stage, before)] == ["delete"]
    stage.load_again()


def test_grants_go_with_their_account_and_objects_stay_as_they_are(stage: GrantsStage) -> None:
    ann = person(stage, "ann")
    team = group(stage, "team", ann)
    skills = [stage.create("CfgSkill", tenantDBID=1, name=name) for name in "abc"]
    for dbid in skills:
        stage.grant(f"CfgSkill:{dbid}", f"CfgPerson:{ann}", "R")
    stage.grant(f"CfgSkill:{skills[0]}", f"CfgAccessGroup:{team}", "R,U")
    as_they_are = [stage.object("CfgSkill", dbid) for dbid in skills]
    stage.delete("CfgPerson", ann)
    assert [stage.object("CfgSkill", dbid) for dbid in skills] == as_they_are
    assert [stage.grants(f"CfgSkill:{dbid}") for dbid in skills] == [
        {f"CfgAccessGroup:{team}": "R,U"}, {}, {},
    ]  # fmt: skip
    stage.delete("CfgAccessGroup", team)
    assert stage.grants(f"CfgSkill:{skills[0]}") == {}
    assert stage.stored_grants() == stage.all_grants()
    stage.load_again()


def test_replace_takes_the_accounts_grants_on_all_below(stage: GrantsStage) -> None:
    ann = f"CfgPerson:{person(stage, 'ann')}"
    top = folder(stage, "top")
    low = folder(stage, "low", top)
    beside = folder(stage, "beside")
    skill = stage.create("CfgSkill", tenantDBID=1, name="a", folderDBID=low)
    other = stage.create("CfgSkill", tenantDBID=1, name="b", folderDBID=low)
    for key in (f"CfgFolder:{low}", f"CfgFolder:{beside}", f"CfgSkill:{skill}"):
        stage.grant(key, "SYSTEM", "R")
        stage.grant(key, ann, "R")
    outcome = stage.exec(
        ("CFG.GRANT", f"CfgSkill:{other}", "SYSTEM", "U"),
        ("CFG.GRANT", f"CfgFolder:{top}", "SYSTEM", "R,propagate", "REPLACE"),
        ("CFG.GRANT", f"CfgSkill:{skill}", "SYSTEM", "D"),
    )
    assert outcome.error is None
    assert stage.grants(f"CfgFolder:{top}") == {"SYSTEM": "R,propagate"}
    assert stage.grants(f"CfgFolder:{low}") == {ann: "R"}
    assert stage.grants(f"CfgFolder:{beside}") == {"SYSTEM": "R", ann: "R"}
    assert stage.grants(f"CfgSkill:{skill}") == {"SYSTEM": "D", ann: "R"}
    assert stage.grants(f"CfgSkill:{other}") == {}
    assert stage.stored_grants() == stage.all_grants()


def test_lists_of_grants_count_among_what_one_transaction_changes(
    stage: GrantsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = person(stage, "ann")
    for name in "abcde":
        dbid = stage.create("CfgSkill", tenantDBID=1, name=name)
        stage.grant(f"CfgSkill:{dbid}", f"CfgPerson:{ann}", "R")
    monkeypatch.setattr(transaction, "CHANGED_OBJECTS_MAX", 4)
    assert stage.refused("CFG.DELETE", "CfgPerson", ann).startswith("TOOBIG")
    monkeypatch.setattr(transaction, "CHANGED_OBJECTS_MAX", 5)
    assert stage.refused("CFG.DELETE", "CfgPerson", ann).startswith("TOOBIG")
    monkeypatch.setattr(transaction, "CHANGED_OBJECTS_MAX", 6)
    stage.delete("CfgPerson", ann)


def test_changes_of_a_group_see_each_others_grants(stage: GrantsStage) -> None:
    skills, ann = folder(stage, "north"), person(stage, "ann")
    key = f"CfgFolder:{skills}"
    before = stage.host.published
    outcomes = stage.group(
        ("CFG.GRANT", key, f"CfgPerson:{ann}", "R"),
        ("CFG.GRANT", key, "SYSTEM", "R"),
        ("CFG.GRANT", key, "SYSTEM", "R"),
        ("CFG.REVOKE", key, f"CfgPerson:{ann}"),
        ("CFG.GRANT", key, f"CfgPerson:{ann}", "U"),
        ("CFG.DELETE", "CfgPerson", ann),
        ("CFG.GRANT", key, f"CfgPerson:{ann}", "U"),
        ("CFG.UPDATE", "CfgFolder", skills, {"changed": {"name": "south"}}),
    )
    errors = [one.error.line[:5] if one.error else "" for one in outcomes]
    assert errors == ["", "", "", "", "", "", "NOREF", ""]
    assert [one.revision - before for one in outcomes] == [1, 2, 2, 3, 4, 5, 0 - before, 6]
    assert stage.grants(key) == {"SYSTEM": "R"}
    assert stage.is_marked(key)
    assert stage.stored_grants() == stage.all_grants()
    stage.load_again()


def test_the_history_shows_the_whole_list(stage: GrantsStage) -> None:
    ann = f"CfgPerson:{person(stage, 'ann')}"
    skills = folder(stage, "north")
    before = stage.host.published
    stage.grant(f"CfgFolder:{skills}", "SYSTEM", "R,propagate")
    stage.grant(f"CfgFolder:{skills}", ann, "none")
    stage.revoke(f"CfgFolder:{skills}", ann)
    stage.revoke(f"CfgFolder:{skills}", "SYSTEM")
    shown = [one for one in events(stage, before) if one["op"] == "grant"]
    assert {(one["class"], one["DBID"]) for one in shown} == {("CfgFolder", skills)}
    assert [one["grants"] for one in shown] == [
        {"SYSTEM": "R,propagate"},
        {"SYSTEM": "R,propagate", ann: "none"},
        {"SYSTEM": "R,propagate"},
        {},
    ]


def test_a_write_id_repeats_the_answer_of_a_grant(stage: GrantsStage) -> None:
    skills = folder(stage, "north")
    words = ("CFG.GRANT", f"CfgFolder:{skills}", "SYSTEM", "R", "ID", "once")
    revision = stage.done(*words)
    stage.revoke(f"CfgFolder:{skills}", "SYSTEM")
    assert stage.done(*words) == revision
    assert stage.grants(f"CfgFolder:{skills}") == {}


def test_a_restarted_writer_has_what_it_missed(stage: GrantsStage) -> None:
    skills = folder(stage, "north")
    before = dict(stage.host.records), stage.host.published, stage.host.mark, stage.host.time_ms
    stage.grant(f"CfgFolder:{skills}", "SYSTEM", "R")
    after = dict(stage.host.records)
    host = stage.host
    host.records, host.published, host.mark, host.time_ms = before
    stage.origin.close()
    stage.origin = stage.open()
    assert host.loads == 1
    assert host.records == after
    stage.revoke(f"CfgFolder:{skills}", "SYSTEM")
    assert stage.grants(f"CfgFolder:{skills}") == {}


def test_sums_count_the_records_of_grants(stage: GrantsStage) -> None:
    from csp._fastpath import record_hash

    skills = folder(stage, "north")
    stage.grant(f"CfgFolder:{skills}", "SYSTEM", "R")
    stage.grant(f"CfgFolder:{skills}", "CfgPerson:100", "R")
    records = [one for (cls, _), one in stage.host.records.items() if cls == GRANTS_CLASS_ID]
    expected = len(records), sum(map(record_hash, records)) % 2**64
    for chosen in (None, GRANTS_CLASS_ID):
        *_, found = stage.records.sums(chosen, 0, 2**32 - 1)
        assert found is not None
        assert found.classes[GRANTS_CLASS_ID] == expected


def test_a_new_database_has_its_rights(stage: GrantsStage) -> None:
    """F89: the first account has all; Administrators can't change it, nor the default groups."""
    names = {
        dbid: stage.object("CfgAccessGroup", dbid)["groupInfo"]["name"] for dbid in (1, 2, 3, 4)
    }
    assert names == {1: "EVERYONE", 2: "Users", 3: "Administrators", 4: "Super Administrators"}
    assert stage.all_grants() == OF_NEW_DATABASE
    assert stage.stored_grants() == OF_NEW_DATABASE
    marked = {key for key in OF_NEW_DATABASE if stage.is_marked(key)}
    assert marked == OF_NEW_DATABASE.keys() - {"CfgTenant:1"}
    key = f"CfgSkill:{stage.create('CfgSkill', tenantDBID=1, name='a')}"
    stage.grant(key, "SYSTEM", "R")  # its record's number is none of theirs
    assert stage.all_grants() == {**OF_NEW_DATABASE, key: {"SYSTEM": "R"}}


def test_a_new_tenant_has_its_rights(stage: GrantsStage) -> None:
    tenant = stage.create("CfgTenant", name="acme")
    groups = {
        stage.host.object("CfgAccessGroup", dbid)["groupInfo"]["name"]: f"CfgAccessGroup:{dbid}"
        for class_id, dbid in stage.host.records
        if class_id == 21 and dbid > 100
    }
    assert groups.keys() == {"EVERYONE", "Users", "Administrators"}
    users, administrators = groups["Users"], groups["Administrators"]
    top = {"SYSTEM": EVERY, "CfgPerson:100": EVERY, SUPERS: EVERY, administrators: EVERY}
    assert stage.all_grants() == {
        **OF_NEW_DATABASE,
        "CfgApplication:100": {USERS: "R,X", users: "R,X"},
        f"CfgTenant:{tenant}": {**top, users: "R,X,propagate"},
        **{key: {administrators: "R"} for key in groups.values()},
    }
    stage.load_again()
    stage.delete("CfgTenant", tenant)
    assert stage.all_grants() == OF_NEW_DATABASE
    assert stage.stored_grants() == OF_NEW_DATABASE


def test_a_tenant_made_without_them_keeps_what_commands_say(stage: GrantsStage) -> None:
    outcome = stage.exec(
        ("CFG.CREATE", "CfgTenant", {"name": "acme"}),
        ("CFG.GRANT", "CfgTenant:@1", "SYSTEM", "none"),
        ("CFG.REVOKE", "CfgTenant:@1", "CfgPerson:100"),
    )
    assert outcome.error is None
    granted = stage.grants(f"CfgTenant:{outcome.results[0]}")
    assert granted["SYSTEM"] == "none"
    assert granted[SUPERS] == EVERY
    assert "CfgPerson:100" not in granted


def users_of(stage: GrantsStage) -> list[int]:
    members = stage.object("CfgAccessGroup", 2).get("memberIDs", [])
    return [one["DBID"] for one in members]


def test_a_new_person_begins_without_a_group(stage: GrantsStage) -> None:
    """F88: by default nothing is granted to him."""
    person(stage, "ann")
    assert users_of(stage) == []


def test_by_option_a_new_person_is_one_of_the_users(stage: GrantsStage) -> None:
    """F88: [security] no-default-access = 1, at once; back to 0 those who are in stay."""
    own = OwnOptions(mode="master", app_name="confserv", values={}, log=None)
    own.on_change(lambda _: stage.origin.take_options(own))

    def set_to(value: str) -> None:
        own.look(orjson.dumps({"options": {"security": {"no-default-access": value}}}))

    set_to("1")
    ann = person(stage, "ann")
    one = {"tenantDBID": "@1", "userName": "u", "employeeID": "e", "isAgent": False}
    outcome = stage.exec(
        ("CFG.CREATE", "CfgTenant", {"name": "acme"}),
        ("CFG.CREATE", "CfgPerson", one),
        ("CFG.CREATE", "CfgPerson", {**one, "userName": "v", "employeeID": "f"}),
    )
    assert outcome.error is None
    assert users_of(stage) == [ann]
    groups = [stage.object("CfgAccessGroup", dbid) for cls, dbid in stage.host.records if cls == 21]
    (group,) = [one for one in groups if one["groupInfo"]["tenantDBID"] == outcome.results[0]
                and one["type"] == "usersgroup"]  # fmt: skip
    assert [one["DBID"] for one in group["memberIDs"]] == list(outcome.results[1:])
    stage.load_again()
    set_to("0")
    person(stage, "bob")
    assert users_of(stage) == [ann]
