"""Fills a new database: Environment with its folders and groups, the first account, prototypes.

Built-in objects keep the original's low numbers (tenant 1, account 100, prototypes 99 and 100,
applications 99 and 100); everything made later starts at 101.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from csp.model.extract import Object as JsonObject
from csp.model.objects import check_object
from csp.model.rights import Account
from csp.model.types import CLASSES, ENVIRONMENT, GRANTS_CLASS_ID
from csp.rules.assemble import finish
from csp.rules.default_grants import DEFAULT_ACCOUNT, MASTER_APPLICATION, TOOLS_APPLICATION
from csp.rules.references import Key
from csp.rules.transaction import NO_GRANTS, Kept, Transaction

RELEASE: Final = "8.5.1"  # of the original whose templates these stand for
# DBID, name, type; 99 and 100 can't be deleted.
PROTOTYPES: Final = (
    (99, "Configuration_Server", "configurationserver"),
    (100, "Configuration_Manager", "sce"),
    (1, "Configuration_Server_Proxy", "configurationserver"),
    (2, "TServer", "tserver"),
    (3, "SIP_Server", "tserver"),
    (4, "Stat_Server", "statserver"),
    (5, "Universal_Routing_Server", "routerserver"),
    (6, "Message_Server", "messageserver"),
    (7, "Solution_Control_Server", "scs"),
    (8, "Interaction_Server", "interactionserver"),
    (9, "Orchestration_Server", "orchestrationserver"),
    (10, "Agent_Desktop", "agentdesktop"),
    (11, "Interaction_Workspace", "interactionworkspace"),
    (12, "Generic_Server", "genericserver"),
    (13, "Generic_Client", "genericclient"),
    (14, "Third_Party_Server", "thirdpartyserver"),
)
HOST: Final = 1
FIRST_BUILT_IN: Final = 1  # folders, access groups and grants of Environment count from here


@dataclass(frozen=True, slots=True)
class SeedPlan:
    """What a new database is told about the server that it is made for."""

    password: str
    app_name: str = "confserv"
    host_name: str = "localhost"
    port: str = "2020"
    options: Mapping[str, Mapping[str, Any]] | None = None


class _Empty:
    """The published state of a database that holds nothing."""

    def get(self, class_id: int, dbid: int) -> JsonObject | None:
        return None

    def exists(self, class_id: int, dbid: int) -> bool:
        return False

    def referrers(
        self, class_id: int, dbid: int, most: int, classes: Sequence[int] = ()
    ) -> list[Key]:
        return []

    def needers(self, class_id: int, dbid: int, most: int) -> list[tuple[Key, str]]:
        return []

    def account_revision(self, dbid: int) -> int:
        return 0

    def default_folder(self, tenant: int, word: str) -> int | None:
        return None

    def kept_grants(self, class_id: int, dbid: int) -> Kept:
        return NO_GRANTS

    def granted_to(self, account: Account, most: int) -> list[Key]:
        return []


def seed_transaction(plan: SeedPlan) -> Transaction:
    """The first transaction of a database."""
    first = {CLASSES[name].id: FIRST_BUILT_IN for name in ("CfgFolder", "CfgAccessGroup")}
    first[GRANTS_CLASS_ID] = FIRST_BUILT_IN
    tx = Transaction(_Empty(), first)
    tx.command = 1
    _create(tx, "CfgTenant", ENVIRONMENT, {"name": "Environment", "isSuperTenant": True})
    _create(tx, "CfgHost", HOST, {"name": plan.host_name, "type": "networkserver"})
    for dbid, name, kind in PROTOTYPES:
        _create(tx, "CfgAppPrototype", dbid, {"name": name, "type": kind, "version": RELEASE})
    _create(tx, "CfgApplication", MASTER_APPLICATION[1], _master_application(plan))
    _create(
        tx,
        "CfgApplication",
        TOOLS_APPLICATION[1],
        {
            "name": "default",
            "appPrototypeDBID": 100,
            "isServer": False,
            "tenantDBIDs": [ENVIRONMENT],
        },
    )
    _create(
        tx,
        "CfgPerson",
        DEFAULT_ACCOUNT[1],
        {
            "tenantDBID": ENVIRONMENT,
            "userName": "default",
            "employeeID": "default",
            "firstName": "default",
            "lastName": "default",
            "isAgent": False,
            "isAdmin": True,
            "password": plan.password,
        },
    )
    finish(tx)
    return tx


def _master_application(plan: SeedPlan) -> JsonObject:
    return {
        "name": plan.app_name,
        "appPrototypeDBID": 99,
        "isServer": True,
        "tenantDBIDs": [ENVIRONMENT],
        "serverInfo": {"hostDBID": HOST, "port": plan.port},
        "portInfos": [{"id": "default", "port": plan.port}],
        "workDirectory": ".",
        "commandLine": "csp master",
        "options": {
            plan.app_name: dict((plan.options or {}).get(plan.app_name, {}))
            or {"packet-size": 1024000}  # the default, shown so that it is found
        },
    }


def _create(tx: Transaction, class_name: str, dbid: int, obj: JsonObject) -> None:
    cls = CLASSES[class_name]
    checked = check_object(cls, obj)
    touched = tx.create(cls, dbid, checked.object)
    touched.secrets.update(checked.secrets)
