"""The index keys of a changed object are those of a new one, built anew or taken over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from csp.model.extract import Object
from csp.model.image import keys_in, keys_of
from csp.model.types import CLASSES
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage

PERSON = CLASSES["CfgPerson"]


class Objects:
    """What the stage's host has published, as keys that lead through others look it up."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def get(self, class_name: str, dbid: int) -> Object | None:
        return self.stage.host.object(class_name, dbid)


@pytest.fixture
def stage(seeded: Place) -> Iterator[Stage]:
    found = Stage(seeded)
    yield found
    found.close()


@pytest.mark.parametrize(
    "delta",
    [
        {"userProperties": {"changed": {"s": {"k": "v"}}}},
        {"changed": {"firstName": "Ann"}},
        {"changed": {"userName": "ann"}},
        {"added": {"agentInfo.skillLevels": [{"skillDBID": 101, "level": 2}]}},
        {"changed": {"state": "disabled"}},
        {"changed": {"folderDBID": 0}},
    ],
    ids=lambda delta: next(iter(delta)) + " " + " ".join(next(iter(delta.values()))),
)
def test_keys_are_those_of_the_object(stage: Stage, delta: dict[str, Any]) -> None:
    stage.create("CfgSkill", tenantDBID=1, name="English")
    own = {"tenantDBID": 1, "userName": "u", "employeeID": "e", "firstName": "f", "lastName": "l"}
    dbid = stage.create("CfgPerson", **own, isAgent=True, agentInfo={})
    root = stage.object("CfgPerson", dbid)["folderDBID"]
    folder = stage.create(
        "CfgFolder", name="below", type="person", folderDBID=root,
        ownerID={"type": "tenant", "DBID": 1},
    )  # fmt: skip
    if "folderDBID" in delta.get("changed", {}):
        delta = {"changed": {"folderDBID": folder}}
    for change in (delta, {"userProperties": {"changed": {"t": {"k": "w"}}}}):
        stage.update("CfgPerson", dbid, change)
        image = stage.host.image(PERSON.id, dbid)
        obj = stage.object("CfgPerson", dbid)
        assert image is not None
        assert keys_in(image) == keys_of(PERSON, obj, Objects(stage))
