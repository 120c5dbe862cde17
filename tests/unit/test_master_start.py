"""What a master's start adds to a database that an earlier release made."""

from __future__ import annotations

import orjson
import pytest
from sqlalchemy import delete, select

from csp.master import schema
from csp.model.entry import parse_entry
from csp.model.types import CLASSES, WORD_OF_CLASS
from csp.rules import complete
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage

# The classes that the first release had.
FIRST = {
    "CfgSwitch", "CfgDN", "CfgPerson", "CfgPlace", "CfgAgentGroup", "CfgTenant", "CfgApplication",
    "CfgHost", "CfgPhysicalSwitch", "CfgSkill", "CfgAgentLogin", "CfgAppPrototype",
    "CfgAccessGroup", "CfgFolder",
}  # fmt: skip
EVERY = {WORD_OF_CLASS[cls.name] for cls in CLASSES.values() if cls.folder}
OWN = EVERY - {WORD_OF_CLASS[cls.name] for cls in CLASSES.values() if cls.is_global}


def folders(stage: Stage, tenant: int) -> set[str]:
    """The types of a tenant's default folders."""
    keys = [dbid for cls, dbid in stage.host.records if cls == CLASSES["CfgFolder"].id]
    found = [stage.object("CfgFolder", dbid) for dbid in keys]
    return {one["type"] for one in found
            if one["ownerID"]["DBID"] == tenant and not one["folderDBID"]}  # fmt: skip


@pytest.fixture
def earlier(place: Place, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A database that was made by a release with fourteen classes, and its store."""
    with monkeypatch.context() as patch:
        known = {name: cls for name, cls in CLASSES.items() if name in FIRST}
        patch.setattr(complete, "CLASSES", known)
        stage = Stage(place)
        assert stage.create("CfgTenant", name="North") == 101
    others = [cls.id for cls in CLASSES.values() if cls.name not in FIRST]
    with stage.origin.database.connection.begin():
        stage.origin.database.connection.execute(
            delete(schema.counters).where(schema.counters.c.class_id.in_(others))
        )
    stage.close()
    return stage


@pytest.mark.parametrize("is_kept", [True, False], ids=["store kept", "loaded anew"])
def test_folders_of_later_classes_are_made_once(earlier: Stage, is_kept: bool) -> None:
    stage = earlier
    before = stage.host.published
    assert folders(stage, 101) < OWN
    if not is_kept:
        stage.host.stream = b""
    for _ in range(2):
        stage.origin = stage.open()
        assert stage.host.published == before + 1
        assert folders(stage, 1) == EVERY
        assert folders(stage, 101) == OWN
        with stage.origin.database.reading() as connection:
            row = connection.execute(
                select(schema.history).where(schema.history.c.revision == before + 1)
            ).one()
        assert orjson.loads(row.actor) == {}
        stage.close()
    items = parse_entry(stage.host.entries[-1]).items
    assert {(one.op, one.class_id) for one in items} == {("create", CLASSES["CfgFolder"].id)}
    stage.origin = stage.open()
    for tenant in (1, 101):
        role = stage.create("CfgRole", tenantDBID=tenant, name="r")
        folder = stage.object("CfgFolder", stage.object("CfgRole", role)["folderDBID"])
        assert (folder["name"], folder["ownerID"]["DBID"]) == ("Roles", tenant)
    stage.close()


def test_a_master_whose_store_has_no_room_for_them_serves_without(
    earlier: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = earlier
    stage.host.room = 0
    stage.origin = stage.open()
    assert stage.object("CfgTenant", 101)["name"] == "North"
    assert "no default folders for classes added since" in caplog.text
    stage.host.room = None
    stage.close()
    stage.origin = stage.open()
    assert folders(stage, 101) == OWN
    stage.close()
