"""Who may write what: by the master's own grants and groups, and what is hidden shows nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from csp.model.principal import ITSELF, Principal, message_of
from csp.model.rights import ACCESS_GROUP, PERSON
from tests.neighbours.databases import Place
from tests.unit.rights_stage import ENVIRONMENT, RightsStage, person, renamed

NOT_THERE = 4_000_000


@pytest.fixture
def stage(seeded: Place) -> Iterator[RightsStage]:
    found = RightsStage(seeded)
    yield found
    found.close()


@pytest.fixture
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RightsStage]:
    """On SQLite alone: where nothing depends on the database."""
    found = RightsStage(tmp_path_factory.mktemp("db"))
    yield found
    found.close()


def sees_as_missing(stage: RightsStage, key: str, *command: object) -> None:
    """The command answers for an object as for one that never was, to the letter."""
    name, _, dbid = key.partition(":")
    hidden = stage.refused(*(_filled(one, name, dbid) for one in command))
    missing = stage.refused(*(_filled(one, name, str(NOT_THERE)) for one in command))
    assert hidden == missing.replace(str(NOT_THERE), dbid)


def _filled(word: object, name: str, dbid: str) -> object:
    if isinstance(word, dict):
        return orjson.loads(orjson.dumps(word).replace(b'"DBID!"', dbid.encode()))
    return {"CLASS": name, "DBID": dbid, "KEY": f"{name}:{dbid}"}.get(str(word), word)


# -- rights on what is there -----------------------------------------------------------------------


def test_a_new_person_may_nothing(stage: RightsStage) -> None:
    """F88."""
    bob = stage.person("bob")
    stage.ann_writes()
    for command in (
        ("CFG.UPDATE", "CLASS", "DBID", renamed("x")),
        ("CFG.DELETE", "CLASS", "DBID"),
        ("CFG.GRANT", "KEY", "SYSTEM", "R"),
        ("CFG.REVOKE", "KEY", "SYSTEM"),
        ("CFG.PASSWORD", "DBID", 0, "argon2id", "$argon2id$x"),
    ):
        sees_as_missing(stage, f"CfgPerson:{bob}", *command)
    assert stage.refused("CFG.CREATE", "CfgPerson", person("carol")).startswith("NOREF")


def test_each_right_lets_do_what_it_is_for(stage: RightsStage) -> None:
    bob = stage.person("bob", folderDBID=stage.north)
    stage.in_north("R")
    update = ("CFG.UPDATE", "CfgPerson", bob, renamed("Bob"))
    delete = ("CFG.DELETE", "CfgPerson", bob)
    create = ("CFG.CREATE", "CfgPerson", person("carol", folderDBID=stage.north))
    grant = ("CFG.GRANT", f"CfgPerson:{bob}", "SYSTEM", "R")
    revoke = ("CFG.REVOKE", f"CfgPerson:{bob}", "SYSTEM")
    for command, right, on in (
        (update, "Update (U)", f"CfgPerson:{bob}"),
        (create, "Create (C)", f"CfgFolder:{stage.north}"),
        (grant, "Change Permissions (CP)", f"CfgPerson:{bob}"),
        (revoke, "Change Permissions (CP)", f"CfgPerson:{bob}"),
        (delete, "Delete (D)", f"CfgPerson:{bob}"),
    ):  # fmt: skip
        assert stage.refused(*command) == f"NOPERM {right} is needed on {on}"
    for command, rights in ((update, "R,U"), (create, "R,C"), (grant, "R,CP"), (delete, "R,D")):
        stage.in_north(rights)
        stage.done(*command)


def test_a_person_has_what_all_groups_have_that_it_is_in(stage: RightsStage) -> None:
    """F84: nested ones count, disabled ones do not, and EVERYONE is computed."""
    bob = stage.person("bob", folderDBID=stage.north)
    inner = stage.group("inner", (PERSON.id, stage.ann))
    outer = stage.group("outer", (ACCESS_GROUP.id, inner))
    stage.in_north("R")
    stage.default_writes()
    stage.grant(f"CfgFolder:{stage.north}", f"CfgAccessGroup:{outer}", "U,propagate")
    stage.ann_writes()
    stage.done("CFG.UPDATE", "CfgPerson", bob, renamed("1"))
    stage.default_writes()
    stage.update("CfgAccessGroup", inner, {"changed": {"groupInfo.state": "disabled"}})
    stage.ann_writes()
    assert stage.refused("CFG.UPDATE", "CfgPerson", bob, renamed("2")).startswith("NOPERM")
    stage.default_writes()
    everyone = next(dbid for dbid in range(1, 200) if _is_everyone(stage, dbid))
    stage.grant(f"CfgFolder:{stage.north}", f"CfgAccessGroup:{everyone}", "U,propagate")
    stage.ann_writes()
    stage.done("CFG.UPDATE", "CfgPerson", bob, renamed("3"))
    stage.default_writes()
    stage.revoke(f"CfgFolder:{stage.north}", f"CfgAccessGroup:{everyone}")
    stage.update("CfgAccessGroup", outer, {"added": {"memberIDs": [
        {"type": "accessgroup", "DBID": everyone}]}})  # fmt: skip
    stage.ann_writes()
    stage.done("CFG.UPDATE", "CfgPerson", bob, renamed("4"))


def _is_everyone(stage: RightsStage, dbid: int) -> bool:
    found = stage.host.object("CfgAccessGroup", dbid) or {}
    return found.get("type") == "everyonegroup"


def test_groups_that_change_in_the_same_group_of_writes_count(stage: RightsStage) -> None:
    """Each request is judged by the state that those before it leave."""
    bob = stage.person("bob", folderDBID=stage.north)
    team = stage.group("team")
    stage.in_north("R")
    stage.default_writes()
    stage.grant(f"CfgFolder:{stage.north}", f"CfgAccessGroup:{team}", "U,propagate")
    joins = {"added": {"memberIDs": [{"type": "person", "DBID": stage.ann}]}}
    requests = [stage._request("one", [("CFG.UPDATE", "CfgAccessGroup", team, joins)], "")]
    stage.ann_writes()
    requests.append(stage._request("one", [("CFG.UPDATE", "CfgPerson", bob, renamed("x"))], ""))
    assert [one.error for one in stage._hand_over(requests)] == [None, None]
    stage.default_writes()
    leaves = {"deleted": {"memberIDs": [{"type": "person", "DBID": stage.ann}]}}
    requests = [stage._request("one", [("CFG.UPDATE", "CfgAccessGroup", team, leaves)], "")]
    stage.ann_writes()
    requests.append(stage._request("one", [("CFG.UPDATE", "CfgPerson", bob, renamed("y"))], ""))
    first, second = stage._hand_over(requests)
    assert first.error is None
    assert second.error is not None
    assert second.error.line.startswith("NOPERM Update (U)")


def test_memberships_are_known_after_a_restart(stage: RightsStage) -> None:
    bob = stage.person("bob", folderDBID=stage.north)
    team = stage.group("team", (PERSON.id, stage.ann), state="disabled")
    stage.in_north("R")
    stage.default_writes()
    stage.grant(f"CfgFolder:{stage.north}", f"CfgAccessGroup:{team}", "U,propagate")
    for is_empty in (True, False):  # a store that is loaded, and one that is caught up
        stage.host.stream = b"" if is_empty else stage.host.stream
        stage.origin.close()
        stage.origin = stage.open()
        stage.ann_writes()
        assert stage.refused("CFG.UPDATE", "CfgPerson", bob, renamed("x")).startswith("NOPERM")
    stage.default_writes()
    stage.update("CfgAccessGroup", team, {"changed": {"groupInfo.state": "enabled"}})
    stage.ann_writes()
    stage.done("CFG.UPDATE", "CfgPerson", bob, renamed("x"))


def test_who_is_disabled_or_gone_writes_nothing(stage: RightsStage) -> None:
    stage.in_north("R,U,C,D")
    stage.default_writes()
    stage.update("CfgPerson", stage.ann, {"changed": {"state": "disabled"}})
    create = ("CFG.CREATE", "CfgPerson", person("carol", folderDBID=stage.north))
    stage.ann_writes()
    assert stage.refused(*create).startswith(
        f"NOAUTH the account CfgPerson:{stage.ann} is disabled"
    )
    stage.default_writes()
    stage.delete("CfgPerson", stage.ann)
    stage.ann_writes()
    assert stage.refused(*create).startswith("NOAUTH")
    for principal in (Principal(), Principal(application="desktop"), ITSELF):
        stage.asks = message_of(principal, is_server=False)
        assert stage.refused(*create).startswith("NOAUTH nobody is signed in")


def test_ones_own_password_takes_no_right(stage: RightsStage) -> None:
    stage.ann_writes()
    stage.done("CFG.PASSWORD", stage.ann, 0, "argon2id", "$argon2id$x")
    own = ("CFG.UPDATE", "CLASS", "DBID", renamed("Ann"))
    sees_as_missing(stage, f"CfgPerson:{stage.ann}", *own)
    stage.allow(f"CfgPerson:{stage.ann}", "R,U")
    stage.done("CFG.UPDATE", "CfgPerson", stage.ann, renamed("Ann"))


def test_anothers_password_takes_update(stage: RightsStage) -> None:
    bob = stage.person("bob", folderDBID=stage.north)
    password = ("CFG.PASSWORD", bob, 0, "argon2id", "$argon2id$x")
    stage.in_north("R")
    assert stage.refused(*password) == f"NOPERM Update (U) is needed on CfgPerson:{bob}"
    stage.in_north("R,U")
    stage.done(*password)


# -- what lies elsewhere afterwards ----------------------------------------------------------------


def test_a_move_takes_update_and_delete_there_and_create_here(stage: RightsStage) -> None:
    bob = stage.person("bob", folderDBID=stage.north)
    move = ("CFG.UPDATE", "CfgPerson", bob, {"changed": {"folderDBID": stage.south}})
    stage.in_north("R,U")
    assert stage.refused(*move).startswith("NOREF CfgPerson:")  # the folder is hidden
    stage.allow(f"CfgFolder:{stage.south}", "R")
    assert stage.refused(*move) == f"NOPERM Delete (D) is needed on CfgPerson:{bob}"
    stage.in_north("R,U,D")
    assert stage.refused(*move) == f"NOPERM Create (C) is needed on CfgFolder:{stage.south}"
    stage.allow(f"CfgFolder:{stage.south}", "R,C")
    stage.done(*move)


def test_what_a_transaction_creates_is_governed_by_its_container(stage: RightsStage) -> None:
    stage.in_north("R,C")
    folder = {"name": "New", "type": "person", "ownerID": ENVIRONMENT, "folderDBID": stage.north}
    creates = (
        ("CFG.CREATE", "CfgFolder", folder),
        ("CFG.CREATE", "CfgPerson", person("carol", folderDBID="@1")),
    )
    update = ("CFG.UPDATE", "CfgPerson", "@2", renamed("Carol"))
    line = stage.refused_exec(*creates, update)
    assert line == "EXECABORT NOPERM command 2: Update (U) is needed on CfgPerson"
    assert stage.exec(*creates).error is None
    stage.in_north("R,C,U")
    more = ({**folder, "name": "Newer"}, person("dave", folderDBID="@1"))
    outcome = stage.exec(
        ("CFG.CREATE", "CfgFolder", more[0]), ("CFG.CREATE", "CfgPerson", more[1]), update
    )
    assert outcome.error is None


def test_no_command_makes_another_one_lawful(stage: RightsStage) -> None:
    bob = stage.person("bob", folderDBID=stage.north)
    stage.in_north("R,CP")
    grants = ("CFG.GRANT", f"CfgPerson:{bob}", f"CfgPerson:{stage.ann}", "R,U,CP")
    stage.allow(f"CfgPerson:{stage.ann}", "R")
    line = stage.refused_exec(grants, ("CFG.UPDATE", "CfgPerson", bob, renamed("x")))
    assert line.startswith("EXECABORT NOPERM command 2: Update (U)")
    stage.in_north("R,C")
    creates = ("CFG.CREATE", "CfgPerson", person("carol", folderDBID=stage.north))
    grants = ("CFG.GRANT", "CfgPerson:@1", f"CfgPerson:{stage.ann}", "R,CP")
    line = stage.refused_exec(creates, grants)
    assert line == "EXECABORT NOPERM command 1: Change Permissions (CP) is needed on CfgPerson"


def test_create_without_a_folder_takes_the_default_one_that_is_readable(stage: RightsStage) -> None:
    stage.allow("CfgTenant:1", "R")
    create = ("CFG.CREATE", "CfgPerson", person("carol"))
    root = stage.origin.engine.view.root_folders[1, "person"]
    assert "has no default folder for person" in stage.refused(*create)
    stage.allow(f"CfgFolder:{root}", "R")
    assert stage.refused(*create) == f"NOPERM Create (C) is needed on CfgFolder:{root}"
    stage.allow(f"CfgFolder:{root}", "R,C")
    stage.done(*create)


# -- what is hidden --------------------------------------------------------------------------------


def test_a_new_reference_to_what_is_hidden_leads_to_nothing(stage: RightsStage) -> None:
    """NOREF, to the letter as for what never was; a reference that stands stays."""
    skill = stage.create("CfgSkill", tenantDBID=1, name="english")
    place = stage.create("CfgPlace", tenantDBID=1, name="p1")
    agent = stage.person("eve", folderDBID=stage.north, isAgent=True, agentInfo={})
    stage.in_north("R,U,C")
    level = {"agentInfo.skillLevels": [{"skillDBID": "DBID!", "level": 1}]}
    sees_as_missing(stage, f"CfgSkill:{skill}", "CFG.UPDATE", "CfgPerson", agent, {"added": level})
    hidden = person("fay", folderDBID=stage.north, isAgent=True, agentInfo={"placeDBID": "DBID!"})
    sees_as_missing(stage, f"CfgPlace:{place}", "CFG.CREATE", "CfgPerson", hidden)
    stage.default_writes()
    stage.update("CfgPerson", agent, {"added": {
        "agentInfo.skillLevels": [{"skillDBID": skill, "level": 1}]}})  # fmt: skip
    stage.ann_writes()
    changed = {"changed": {"agentInfo.skillLevels": [{"skillDBID": skill, "level": 9}]}}
    stage.done("CFG.UPDATE", "CfgPerson", agent, changed)


def test_a_hidden_folder_or_tenant_leads_to_nothing(stage: RightsStage) -> None:
    tenant = stage.create("CfgTenant", name="Acme")
    folder = stage.origin.engine.view.root_folders[tenant, "person"]
    bob = stage.person("bob", folderDBID=stage.north)
    stage.in_north("R,U,C,D")
    create = ("CFG.CREATE", "CfgPerson")
    there, nowhere = person("gus", folderDBID="DBID!"), person("gus", tenantDBID="DBID!")
    sees_as_missing(stage, f"CfgFolder:{folder}", *create, there)
    sees_as_missing(stage, f"CfgTenant:{tenant}", *create, nowhere)
    sees_as_missing(stage, f"CfgTenant:{tenant}", *create, nowhere | {"folderDBID": stage.north})
    move = {"changed": {"folderDBID": "DBID!"}}
    sees_as_missing(stage, f"CfgFolder:{folder}", "CFG.UPDATE", "CfgPerson", bob, move)


def test_what_is_derived_through_a_hidden_object_is_not_told(stage: RightsStage) -> None:
    physical = stage.create("CfgPhysicalSwitch", name="p", type="sipswitch")
    switch = stage.create("CfgSwitch", tenantDBID=1, name="s", physSwitchDBID=physical)
    stage.in_north("R,C")
    stated = {"switchDBID": "DBID!", "number": "1", "type": "acdposition", "tenantDBID": 77}
    sees_as_missing(stage, f"CfgSwitch:{switch}", "CFG.CREATE", "CfgDN", stated)


def test_watching_what_is_hidden_finds_it_absent(stage: RightsStage) -> None:
    bob = stage.person("bob", folderDBID=stage.south)
    stage.in_north("R,C")
    creates = ("CFG.CREATE", "CfgPerson", person("carol", folderDBID=stage.north))
    revision = stage.object("CfgPerson", bob)["revision"]
    line = stage.refused_exec(creates, ("CFG.EXPECT", "CfgPerson", bob, revision))
    assert f"CONFLICT watched CfgPerson:{bob}" in line.replace(
        "EXECABORT CONFLICT command", "CONFLICT"
    )
    assert stage.exec(creates, ("CFG.EXPECT", "CfgPerson", bob, 0)).error is None


def test_if_on_what_is_hidden_says_that_it_is_gone(stage: RightsStage) -> None:
    bob = stage.person("bob", folderDBID=stage.south)
    stage.in_north("R")
    for revision in (1, stage.object("CfgPerson", bob)["revision"]):
        sees_as_missing(
            stage, f"CfgPerson:{bob}", "CFG.UPDATE", "CLASS", "DBID", renamed("x"), "IF", revision
        )


# -- what errors name ------------------------------------------------------------------------------


def test_inuse_names_what_is_readable(stage: RightsStage) -> None:
    made = [stage.person(f"p{at}", folderDBID=stage.north) for at in range(12)]
    stage.allow(f"CfgFolder:{stage.north}", "R,D")
    delete = ("CFG.DELETE", "CfgFolder", stage.north)
    needed = f"INUSE CfgFolder:{stage.north} is needed by "
    assert stage.refused(*delete) == needed + "other objects"
    stage.allow(f"CfgPerson:{made[11]}", "R")
    assert stage.refused(*delete) == needed + f"CfgPerson:{made[11]} (folderDBID) and others"


def _server(stage: RightsStage, name: str, host: int) -> int:
    return stage.create(
        "CfgApplication", name=name, appPrototypeDBID=99, isServer=True, tenantDBIDs=[1],
        serverInfo={"hostDBID": host}, workDirectory=".", commandLine="x",
    )  # fmt: skip


def test_immutable_names_what_is_readable(stage: RightsStage) -> None:
    host = stage.create("CfgHost", name="h1", type="networkserver")
    made = _server(stage, "s1", host)
    stage.allow(f"CfgHost:{host}", "R,U")
    rename = ("CFG.UPDATE", "CfgHost", host, {"changed": {"name": "h2"}})
    line = stage.refused(*rename)
    assert line.endswith("can't change while another object is assigned to it")
    stage.allow(f"CfgApplication:{made}", "R")
    assert stage.refused(*rename).endswith(f"while CfgApplication:{made} is assigned to it")


def test_unique_does_not_say_who_holds_a_name(stage: RightsStage) -> None:
    """That it is taken must be said: a stated exception."""
    bob = stage.person("bob", folderDBID=stage.south)
    stage.in_north("R,C")
    create = person("bob", folderDBID=stage.north, employeeID="x")
    line = stage.refused("CFG.CREATE", "CfgPerson", create)
    assert line.startswith("UNIQUE")
    assert "is taken by another object" in line
    assert str(bob) not in line
    stage.allow(f"CfgPerson:{bob}", "R")
    assert f"CfgPerson:{bob}" in stage.refused("CFG.CREATE", "CfgPerson", create)


def test_a_tserver_does_not_say_which_hidden_switch_it_serves(stage: RightsStage) -> None:
    tenant = stage.create("CfgTenant", name="Acme")
    physical = stage.create("CfgPhysicalSwitch", name="p", type="sipswitch")
    host = stage.create("CfgHost", name="h1", type="networkserver")
    server = _server(stage, "tserver", host)
    stage.update("CfgApplication", server, {"added": {"tenantDBIDs": [tenant]}})
    switch = stage.create(
        "CfgSwitch", tenantDBID=tenant, name="s", physSwitchDBID=physical, TServerDBID=server
    )
    stage.allow(f"CfgApplication:{server}", "R,U")
    takes = ("CFG.UPDATE", "CfgApplication", server, {"deleted": {"tenantDBIDs": [tenant]}})
    line = stage.refused(*takes)
    assert "must list the tenants of all switches" in line
    assert f"CfgSwitch:{switch}" not in line


# -- what follows from a command -------------------------------------------------------------------


def test_a_state_is_handed_down_to_all_or_to_none(stage: RightsStage) -> None:
    """T27: who may not change one of the children changes none of them, nor the parent."""
    bob = stage.person("bob", folderDBID=stage.north)
    eve = stage.person("eve", folderDBID=stage.north)
    disable = ("CFG.UPDATE", "CfgFolder", stage.north, {"changed": {"state": "disabled"}})
    stage.in_north("R,U")
    stage.allow(f"CfgPerson:{eve}", "R")
    line = stage.refused(*disable)
    assert line.startswith(f"NOPERM Update (U) is needed on CfgPerson:{eve}, which gets its state")
    stage.hide(f"CfgPerson:{eve}")
    line = stage.refused(*disable)
    assert line.startswith("NOPERM Update (U) is needed on another object")
    assert str(eve) not in line
    stage.default_writes()
    stage.revoke(f"CfgPerson:{eve}", f"CfgPerson:{stage.ann}")
    stage.ann_writes()
    stage.done(*disable)
    assert stage.object("CfgPerson", bob)["state"] == "disabled"
    assert stage.object("CfgPerson", eve)["state"] == "disabled"


def test_a_deletion_clears_references_that_its_author_may_not_change(stage: RightsStage) -> None:
    skill = stage.create("CfgSkill", tenantDBID=1, name="english")
    agent = stage.person("eve", folderDBID=stage.south, isAgent=True, agentInfo={
        "skillLevels": [{"skillDBID": skill, "level": 1}]})  # fmt: skip
    stage.allow(f"CfgSkill:{skill}", "R,D")
    stage.done("CFG.DELETE", "CfgSkill", skill)
    assert "skillLevels" not in stage.object("CfgPerson", agent).get("agentInfo", {})


def test_replace_takes_the_right_on_each_object_that_it_changes(stage: RightsStage) -> None:
    """Else nothing is done at all."""
    bob = stage.person("bob", folderDBID=stage.north)
    team = stage.group("team")
    stage.in_north("R,CP")
    stage.allow(f"CfgAccessGroup:{team}", "R")
    stage.default_writes()
    stage.grant(f"CfgPerson:{bob}", f"CfgAccessGroup:{team}", "none")
    stage.allow(f"CfgPerson:{bob}", "R")
    replaces = ("CFG.GRANT", f"CfgFolder:{stage.north}", f"CfgAccessGroup:{team}", "R", "REPLACE")
    line = stage.refused(*replaces)
    assert line == f"NOPERM Change Permissions (CP) is needed on CfgPerson:{bob}"
    stage.hide(f"CfgPerson:{bob}")
    assert stage.refused(*replaces).endswith("is needed on another object")
    stage.allow(f"CfgPerson:{bob}", "R,CP")
    stage.done(*replaces)


def test_a_grant_to_a_hidden_account_leads_to_nothing(stage: RightsStage) -> None:
    team = stage.group("team")
    stage.in_north("R,CP")
    grant = ("CFG.GRANT", f"CfgFolder:{stage.north}", "KEY", "R")
    sees_as_missing(stage, f"CfgAccessGroup:{team}", *grant)
    stage.default_writes()
    stage.grant(f"CfgFolder:{stage.north}", f"CfgAccessGroup:{team}", "R")
    stage.ann_writes()
    stage.done("CFG.GRANT", f"CfgFolder:{stage.north}", f"CfgAccessGroup:{team}", "R,X")
    stage.done("CFG.REVOKE", f"CfgFolder:{stage.north}", f"CfgAccessGroup:{team}")
