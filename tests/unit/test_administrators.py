"""No write leaves a database without an enabled person who may change who may what."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from csp.master import group
from csp.master.origin import DatabaseOrigin
from csp.master.seed import SeedPlan
from csp.model.types import ACCOUNT_CLASS_ID
from csp.rules.transaction import ITS_OWN
from tests.neighbours.databases import Place
from tests.unit.grants_stage import EVERY, GrantsStage

TOP, DEFAULT = "CfgTenant:1", "CfgPerson:100"
ADMINISTRATORS, SUPERS = 3, 4
DISABLED = {"changed": {"state": "disabled"}}
MEMBERS = "memberIDs"


@pytest.fixture
def stage(seeded: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[GrantsStage]:
    """Its writes need no right: who has lost his may go on."""
    monkeypatch.setattr(group, "author_of", lambda *_: ITS_OWN)
    found = GrantsStage(seeded)
    yield found
    found.close()


def person(stage: GrantsStage, name: str) -> int:
    return stage.create("CfgPerson", tenantDBID=1, userName=name, employeeID=name, isAgent=False)


def join(stage: GrantsStage, to: int, member: int, kind: str = "person") -> None:
    stage.update("CfgAccessGroup", to, {"added": {MEMBERS: [{"type": kind, "DBID": member}]}})


def leave(left: int, member: int) -> tuple[object, ...]:
    gone = {"deleted": {MEMBERS: [{"type": "person", "DBID": member}]}}
    return ("CFG.UPDATE", "CfgAccessGroup", left, gone)


def refused(stage: GrantsStage, *command: object) -> bool:
    return stage.refused(*command).startswith("INUSE nobody would be left")


def test_the_first_account_is_the_only_one_of_a_new_database(stage: GrantsStage) -> None:
    assert refused(stage, "CFG.REVOKE", TOP, DEFAULT)
    assert refused(stage, "CFG.GRANT", TOP, DEFAULT, "R,propagate")
    assert refused(stage, "CFG.UPDATE", "CfgPerson", 100, DISABLED)
    # SYSTEM has the right too, but nobody signs in as it.
    assert "CP" in stage.grants(TOP)["SYSTEM"]


def test_a_member_of_a_group_is_one(stage: GrantsStage) -> None:
    ann = person(stage, "ann")
    join(stage, SUPERS, ann)
    stage.revoke(TOP, DEFAULT)
    assert refused(stage, "CFG.DELETE", "CfgPerson", ann)
    assert refused(stage, "CFG.UPDATE", "CfgPerson", ann, DISABLED)
    assert refused(stage, *leave(SUPERS, ann))
    assert refused(stage, "CFG.REVOKE", TOP, f"CfgAccessGroup:{SUPERS}")
    assert refused(stage, "CFG.DELETE", "CfgAccessGroup", SUPERS)
    disabled = {"changed": {"groupInfo.state": "disabled"}}
    assert refused(stage, "CFG.UPDATE", "CfgAccessGroup", SUPERS, disabled)
    line = stage.refused_exec(
        ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "a"}), leave(SUPERS, ann)
    )
    assert line.startswith("EXECABORT INUSE command 2: nobody would be left")
    bob = person(stage, "bob")
    join(stage, ADMINISTRATORS, bob)
    stage.delete("CfgPerson", ann)
    assert refused(stage, "CFG.DELETE", "CfgPerson", bob)


def test_so_is_one_of_a_nested_group_while_all_between_are_enabled(stage: GrantsStage) -> None:
    ann = person(stage, "ann")
    info = {"tenantDBID": 1, "name": "inner"}
    members = [{"type": "person", "DBID": ann}]
    inner = stage.create("CfgAccessGroup", groupInfo=info, type="defaultgroup", memberIDs=members)
    join(stage, inner, SUPERS, "accessgroup")  # a circle ends
    join(stage, SUPERS, inner, "accessgroup")
    stage.revoke(TOP, DEFAULT)
    disabled = {"changed": {"groupInfo.state": "disabled"}}
    assert refused(stage, "CFG.UPDATE", "CfgAccessGroup", inner, disabled)
    assert refused(stage, "CFG.DELETE", "CfgAccessGroup", inner)


def test_everyone_is_computed(stage: GrantsStage) -> None:
    ann = person(stage, "ann")
    stage.grant(TOP, "CfgAccessGroup:1", "R,CP")
    stage.revoke(TOP, DEFAULT)
    stage.update("CfgPerson", 100, DISABLED)
    assert refused(stage, "CFG.UPDATE", "CfgPerson", ann, DISABLED)


def test_two_commands_of_one_transaction_may_hand_it_over(stage: GrantsStage) -> None:
    ann = person(stage, "ann")
    outcome = stage.exec(("CFG.REVOKE", TOP, DEFAULT), ("CFG.GRANT", TOP, f"CfgPerson:{ann}", "CP"))
    assert outcome.error is None
    stage.update("CfgPerson", 100, DISABLED)


def test_where_there_is_none_writes_pass(stage: GrantsStage) -> None:
    """A database that was left so by an earlier release, or by hand."""
    with stage.origin.database.connection.begin():
        stage.origin.database.connection.exec_driver_sql("DELETE FROM grants WHERE class_id = 1")
    stage.host.stream = b""
    stage.close()
    stage.origin = stage.open()
    ann = person(stage, "ann")
    join(stage, SUPERS, ann)
    stage.delete("CfgPerson", ann)


def restored(stage: GrantsStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts the master anew, as `csp master --restore-default` does."""
    monkeypatch.setenv("CSP_DEFAULT_PASSWORD", "open sesame")
    stage.close()
    stage.host.fence = 0  # another run
    stage.origin = DatabaseOrigin(stage.address, SeedPlan(""), must_restore_default=True)
    stage.origin.start(stage.host)


def test_the_first_account_is_restored_at_start(
    stage: GrantsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = person(stage, "ann")
    tenant = stage.create("CfgTenant", name="acme")
    stage.grant(TOP, f"CfgPerson:{ann}", "CP")
    stage.revoke(TOP, DEFAULT)
    stage.grant(f"CfgTenant:{tenant}", DEFAULT, "none,propagate")
    stage.grant(DEFAULT, DEFAULT, "none")
    stage.update("CfgPerson", 100, DISABLED)
    account = stage.host.image(ACCOUNT_CLASS_ID, 100)
    before = stage.host.published
    restored(stage, monkeypatch)
    assert stage.host.published == before + 1
    assert stage.object("CfgPerson", 100)["state"] == "enabled"
    assert stage.grants(TOP)[DEFAULT] == stage.grants(f"CfgTenant:{tenant}")[DEFAULT] == EVERY
    assert DEFAULT not in stage.grants(DEFAULT)
    assert stage.host.image(ACCOUNT_CLASS_ID, 100) != account
    hashed = stage.origin.database.account(3, 100)
    assert hashed is not None
    assert PasswordHasher().verify(hashed.hash, "open sesame")
    assert stage.stored_grants() == stage.all_grants()
    # A writer that follows in the same run does not do it again.
    stage.close()
    stage.origin = DatabaseOrigin(stage.address, SeedPlan(""), must_restore_default=True)
    stage.origin.start(stage.host)
    assert stage.host.published == before + 1
    stage.load_again()
