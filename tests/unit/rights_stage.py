"""A master with two folders of persons, and Ann, who has what each test grants her."""

from __future__ import annotations

from typing import Any

from csp.model.principal import Principal, message_of
from csp.model.rights import ACCESS_GROUP, PERSON, Account
from tests.neighbours.databases import Place
from tests.unit.grants_stage import GrantsStage
from tests.unit.master_stage import ASKS

ENVIRONMENT = {"type": "tenant", "DBID": 1}
MEMBER = {PERSON.id: "person", ACCESS_GROUP.id: "accessgroup"}


class RightsStage(GrantsStage):
    """Whoever writes is `default` until it is said that it is somebody else."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.ann = self.person("ann")
        root = self.origin.engine.view.root_folders[1, "person"]
        self.north, self.south = self.folder("North", root), self.folder("South", root)

    def ann_writes(self) -> None:
        """From now on."""
        self.asks = message_of(Principal(self.ann, address="192.0.2.7:2"), is_server=False)

    def default_writes(self) -> None:
        self.asks = ASKS

    def allow(self, key: str, rights: str) -> None:
        """Grants to Ann."""
        self.default_writes()
        self.grant(key, f"CfgPerson:{self.ann}", rights)
        self.ann_writes()

    def hide(self, key: str) -> None:
        self.allow(key, "none,propagate")

    def in_north(self, rights: str) -> None:
        """She has these rights there and sees what has to be named; all else is not hers."""
        self.allow("CfgTenant:1", "R")
        self.allow(f"CfgFolder:{self.north}", f"{rights},propagate")

    def person(self, name: str, **more: Any) -> int:
        return self.create("CfgPerson", **person(name, **more))

    def folder(self, name: str, parent: int, **more: Any) -> int:
        owner = {"name": name, "type": "person", "ownerID": ENVIRONMENT, "folderDBID": parent}
        return self.create("CfgFolder", **owner | more)

    def group(self, name: str, *members: Account, **more: Any) -> int:
        state = more.pop("state", "enabled")
        listed = [{"type": MEMBER[cls], "DBID": dbid} for cls, dbid in members]
        return self.create(
            "CfgAccessGroup",
            groupInfo={"tenantDBID": 1, "name": name, "state": state},
            type=more.pop("type", "defaultgroup"),
            **({"memberIDs": listed} if listed else {}),
        )


def person(name: str, **more: Any) -> dict[str, Any]:
    """A person of Environment."""
    return {"tenantDBID": 1, "employeeID": name, "userName": name, "isAgent": False} | more


def renamed(name: str) -> dict[str, Any]:
    """A delta."""
    return {"changed": {"firstName": name}}
