"""Checks what the object table can't say: rules that look at other objects, or at several values.

Each rule is a function of the transaction and one object as it will be; it raises a CspError whose
text names the attribute, the value and the rule.  `RULES` says which rules a class has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from csp import errors
from csp.model.extract import Object as JsonObject
from csp.model.extract import value_at
from csp.model.places import tenant_of
from csp.model.types import CLASSES, ENVIRONMENT, WORD_OF_CLASS
from csp.rules.accounts import check_password, rules_of
from csp.rules.complete import FOLDER, TENANT
from csp.rules.hidden import Seen, known_among, named
from csp.rules.redundancy import check_redundancy
from csp.rules.transaction import Touched, Transaction

Rule = Callable[[Transaction, Touched, JsonObject], None]

QUEUE_KINDS: Final = frozenset({
    "acdqueue", "routingpoint", "virtacdqueue", "virtroutingpoint", "extroutingpoint",
    "routingqueue", "servicenumber",
})  # fmt: skip
LCA_PORT_LOWEST, LCA_PORT_HIGHEST, LCA_PORT_DEFAULT = 2000, 9999, "4999"
PARENTS_MAX: Final = 1000  # deeper nesting of folders or tenants is taken for a cycle


def check_fixed(tx: Transaction, touched: Touched, obj: JsonObject) -> None:
    """Attributes that can't change while others need them; the delta knows what never changes."""
    before = touched.before
    for path, key in touched.cls.fixed_while_referred.items():
        if before is not None and value_at(before, path) != value_at(obj, path):
            _check_not_referred(tx, touched, path, key.partition(".")[0])


def _check_not_referred(tx: Transaction, touched: Touched, path: str, class_name: str) -> None:
    found = tx.referrers(touched.key, (CLASSES[class_name].id,))
    if found:
        other = named(tx, known_among(tx, found) or found[0])
        raise errors.Immutable(
            f"{touched.shown} {path}: can't change while {other} is assigned to it"
        )


def check_folder(tx: Transaction, touched: Touched, obj: JsonObject) -> None:
    """The folder takes this class, and belongs to the same tenant."""
    cls, dbid = touched.cls, obj.get("folderDBID")
    if not isinstance(dbid, int) or isinstance(dbid, bool):
        raise errors.BadValue(f"{touched.shown} folderDBID: {dbid!r} is not a DBID")
    if dbid == 0:
        if touched.cls is FOLDER and (_stands_alone(obj) or touched.key in _roots(tx, touched)):
            return
        raise errors.Mandatory(f"{touched.shown} folderDBID: every object lies in a folder")
    if touched.before is not None and touched.before.get("folderDBID") == dbid:
        return
    folder = Seen(tx, touched).get("CfgFolder", dbid)
    if folder is None:
        raise errors.NoRef(f"{touched.shown} folderDBID: there is no CfgFolder:{dbid}")
    word = obj.get("type") if cls is FOLDER else WORD_OF_CLASS[cls.name]
    if folder["type"] != word:
        raise errors.BadValue(
            f"{touched.shown} folderDBID: CfgFolder:{dbid} holds objects of type "
            f"{folder['type']}, not {word}"
        )
    _check_folder_tenant(tx, touched, obj, folder, dbid)


def _stands_alone(folder: JsonObject) -> bool:
    """A site or configuration unit, or a folder of a switch: there is none that it could lie in."""
    return folder.get("type") == "folder" or folder["ownerID"]["type"] != "tenant"


def _check_folder_tenant(
    tx: Transaction, touched: Touched, obj: JsonObject, folder: JsonObject, dbid: int
) -> None:
    if touched.cls is FOLDER:
        if folder["ownerID"] != obj.get("ownerID"):
            raise errors.BadValue(
                f"{touched.shown} folderDBID: CfgFolder:{dbid} has another owner, "
                f"{folder['ownerID']['type']} {folder['ownerID']['DBID']}"
            )
        _check_no_cycle(tx, touched, "folderDBID")
    elif not touched.cls.is_global:
        mine, its = tenant_of(touched.cls, obj, tx), tenant_of(FOLDER, folder, tx)
        if mine != its:
            its_known = all(tx.author.reads((TENANT.id, one)) for one in (mine, its))
            told = f"tenant {its}, the object to tenant {mine}" if its_known else "another tenant"
            raise errors.BadValue(f"{touched.shown} folderDBID: CfgFolder:{dbid} belongs to {told}")


def _roots(tx: Transaction, touched: Touched) -> set[tuple[int, int]]:
    """The folder itself, if it is (or was made as) an owner's own folder."""
    if touched.before is not None:
        return {touched.key} if touched.before.get("folderDBID") == 0 else set()
    return {(FOLDER.id, dbid) for dbid in tx.root_folders.values()}


def _check_no_cycle(tx: Transaction, touched: Touched, path: str) -> None:
    at: Any = touched.dbid
    for _ in range(PARENTS_MAX):
        parent = tx.get(touched.cls.name, at)
        at = value_at(parent, path) if parent else None
        if not at:
            return
        if at == touched.dbid:
            break
    raise errors.BadValue(
        f"{touched.shown} {path}: would make it its own ancestor, or nest deeper than {PARENTS_MAX}"
    )


# -- rules of single classes -----------------------------------------------------------------------


def _managers(tx: Transaction, touched: Touched, obj: JsonObject) -> None:
    """Only agent groups have managers, of their tenant or of Environment; queues to route from."""
    group = obj.get("groupInfo") or {}
    managers = group.get("managerDBIDs") or []
    if managers and touched.cls.name != "CfgAgentGroup":
        raise errors.BadValue(f"{touched.shown} groupInfo.managerDBIDs: only agent groups have any")
    for dbid in managers:
        person = tx.get("CfgPerson", dbid) or {}
        if person.get("tenantDBID") not in (group.get("tenantDBID"), ENVIRONMENT):
            raise errors.BadValue(
                f"{touched.shown} groupInfo.managerDBIDs: CfgPerson:{dbid} is neither of the "
                f"group's tenant nor of Environment"
            )
    for dbid in group.get("routeDNDBIDs") or []:
        kind = (tx.get("CfgDN", dbid) or {}).get("type")
        if kind not in QUEUE_KINDS:
            told = f"of type {kind}, " if tx.author.reads((CLASSES["CfgDN"].id, dbid)) else ""
            raise errors.BadValue(
                f"{touched.shown} groupInfo.routeDNDBIDs: CfgDN:{dbid} is {told}"
                f"neither a routing point nor an ACD queue"
            )


def _tserver_lists_tenant(tx: Transaction, touched: Touched, obj: JsonObject) -> None:
    dbid = obj.get("TServerDBID")
    if not dbid:
        return
    application = tx.get("CfgApplication", dbid) or {}
    if obj["tenantDBID"] not in (application.get("tenantDBIDs") or ()):
        raise errors.BadValue(
            f"{touched.shown} TServerDBID: CfgApplication:{dbid} does not list the switch's "
            f"tenant {obj['tenantDBID']} in its tenantDBIDs"
        )


def _application(tx: Transaction, touched: Touched, obj: JsonObject) -> None:
    if obj.get("isServer"):
        for name in ("workDirectory", "commandLine"):
            if not obj.get(name):
                raise errors.Mandatory(
                    f"{touched.shown} {name}: is mandatory where isServer is true"
                )
    before = touched.before
    if before is None or before.get("tenantDBIDs") == obj.get("tenantDBIDs"):
        return
    switch = CLASSES["CfgSwitch"]
    for _, dbid in tx.referrers(touched.key, (switch.id,)):
        other = tx.get(switch.name, dbid)
        if other and other["tenantDBID"] not in (obj.get("tenantDBIDs") or ()):
            told = f"tenant {other['tenantDBID']} while it is the T-Server of {switch.name}:{dbid}"
            if not tx.author.reads((switch.id, dbid)):
                told = "the tenants of all switches that it is the T-Server of"
            raise errors.BadValue(f"{touched.shown} tenantDBIDs: must list {told}")


def _lca_port(_tx: Transaction, touched: Touched, obj: JsonObject) -> None:
    port = obj.get("LCAPort")
    if port in (None, "", "0"):  # 0: a placeholder that no local agent runs on
        return
    if not str(port).isascii() or not str(port).isdigit() or int(port) > LCA_PORT_HIGHEST:
        raise errors.BadValue(
            f"{touched.shown} LCAPort: {port!r} is not a port from {LCA_PORT_LOWEST} "
            f"to {LCA_PORT_HIGHEST}"
        )
    if int(port) < LCA_PORT_LOWEST:
        obj["LCAPort"] = LCA_PORT_DEFAULT  # as the original does


def _person(tx: Transaction, touched: Touched, obj: JsonObject) -> None:
    """A password in words keeps to the rules of its tenant; a hash can't be held against them."""
    secret = touched.secrets.get("password")
    if secret and not obj.get("passwordHashAlgorithm"):
        check_password(rules_of(tx.get, obj), touched.shown, secret)


def _tenant(tx: Transaction, touched: Touched, obj: JsonObject) -> None:
    if obj.get("parentTenantDBID"):
        _check_no_cycle(tx, touched, "parentTenantDBID")


def _folder(_tx: Transaction, touched: Touched, obj: JsonObject) -> None:
    if obj.get("type") not in WORD_OF_CLASS.values():
        raise errors.BadValue(f"{touched.shown} type: {obj.get('type')!r} can't be kept in folders")


RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "CfgAgentGroup": (_managers,),
    "CfgAccessGroup": (_managers,),
    "CfgPlaceGroup": (_managers,),
    "CfgDNGroup": (_managers,),
    "CfgSwitch": (_tserver_lists_tenant,),
    "CfgApplication": (_application, check_redundancy),
    "CfgHost": (_lca_port,),
    "CfgPerson": (_person,),
    "CfgTenant": (_tenant,),
    "CfgFolder": (_folder,),
}


def check_deletable(touched: Touched) -> None:
    """Built-in objects stay."""
    cls = touched.cls
    if touched.dbid in cls.builtin or (cls.name == "CfgTenant" and touched.dbid == ENVIRONMENT):
        raise errors.Immutable(f"{touched.shown}: is built in and can't be deleted")
    folder = touched.before if cls is FOLDER else None
    if folder and not folder.get("folderDBID") and not _stands_alone(folder):
        raise errors.Immutable(
            f"{touched.shown}: is the default folder of its owner and goes with it alone"
        )
