"""Fills in what a new object takes from elsewhere: defaults, its prototype's words, its folder.

1. Works on the whole transaction at its end, so that an object may take from one created later.
2. What is derived is always the source's value; stating another one is an error.
3. A tenant comes with a folder for each class that tenants own, and with access groups; a
   database of an earlier release gets the folders of classes added since at the master's start.
"""

from __future__ import annotations

from typing import Final

from csp import errors
from csp.model.extract import Object as JsonObject
from csp.model.groups import ADMINISTRATORS, EVERYONE, SUPER_ADMINISTRATORS, USERS
from csp.model.objects import complete
from csp.model.places import tenant_of
from csp.model.types import CLASSES, ENVIRONMENT, WORD_OF_CLASS, ObjectClass
from csp.rules.accounts import rules_of
from csp.rules.hidden import Seen, is_hidden
from csp.rules.transaction import Touched, Transaction

TENANT: Final = CLASSES["CfgTenant"]
FOLDER: Final = CLASSES["CfgFolder"]
PERSON: Final = CLASSES["CfgPerson"]
FORCED: Final = "changePasswordOnNextLogin"
ACCESS_GROUP: Final = CLASSES["CfgAccessGroup"]

# The groups that the original makes for a tenant, with their kind; the last for Environment alone.
DEFAULT_GROUPS: Final = (
    ("EVERYONE", EVERYONE),
    ("Users", USERS),
    ("Administrators", ADMINISTRATORS),
    ("Super Administrators", SUPER_ADMINISTRATORS),
)


def is_default_group(obj: JsonObject) -> bool:
    group = obj.get("groupInfo") or {}
    return (group.get("name"), obj.get("type")) in DEFAULT_GROUPS


def add_tenant_furniture(tx: Transaction, tenant: Touched) -> None:
    """The default folders and access groups of a new tenant."""
    add_default_folders(tx, tenant.dbid)
    made = {
        (one.after.get("groupInfo", {}).get("name"), one.after.get("type"))
        for one in tx.touched.values()
        if one.cls is ACCESS_GROUP and one.before is None and one.after is not None
        and one.after.get("groupInfo", {}).get("tenantDBID") == tenant.dbid
    }  # fmt: skip
    groups = DEFAULT_GROUPS if tenant.dbid == ENVIRONMENT else DEFAULT_GROUPS[:-1]
    for name, kind in groups:
        if (name, kind) in made:
            continue  # an export states them
        tx.create(
            ACCESS_GROUP,
            tx.give_dbid(ACCESS_GROUP),
            {
                "class": ACCESS_GROUP.name,
                "groupInfo": {"tenantDBID": tenant.dbid, "name": name, "state": "enabled"},
                "type": kind,
            },
        )


def add_default_folders(tx: Transaction, tenant: int) -> None:
    """Those that a tenant lacks: all of a new one, else of classes that came after it."""
    classes = [cls for cls in CLASSES.values() if cls.folder and not cls.is_global]
    if tenant == ENVIRONMENT:
        classes += [cls for cls in CLASSES.values() if cls.is_global]
    for cls in classes:
        word = WORD_OF_CLASS[cls.name]
        if tx.default_folder(tenant, word) is not None:
            continue
        folder = tx.create(
            FOLDER,
            tx.give_dbid(FOLDER),
            {
                "class": FOLDER.name,
                "folderDBID": 0,
                "name": cls.folder,
                "type": word,
                "ownerID": {"type": "tenant", "DBID": tenant},
                "folderClass": "default",
                "state": "enabled",
            },
        )
        tx.root_folders[tenant, word] = folder.dbid


def fill_in(tx: Transaction, touched: Touched) -> None:
    """Fills in one created or changed object."""
    obj = touched.after
    if obj is None:
        return
    cls = touched.cls
    if cls.name in _TAKING:
        touched.after = obj = complete(cls, obj, Seen(tx, touched))
    if cls is PERSON:
        _force_change(tx, touched, obj)
    obj = touched.after
    assert obj is not None
    if touched.before is None and "folderDBID" not in obj:
        obj["folderDBID"] = _default_folder(tx, touched, obj)


def _force_change(tx: Transaction, touched: Touched, person: JsonObject) -> None:
    """Who is given a password by somebody else has to change it first, where the rule says so."""
    before = touched.before
    is_stated = FORCED in person if before is None else before.get(FORCED) != person.get(FORCED)
    if touched.secrets.get("password") and not is_stated and rules_of(tx.get, person).reset_first:
        touched.after = {**person, FORCED: True}


_TAKING: Final = frozenset(
    cls.name for cls in CLASSES.values() if any(one.derived or one.filled for one in cls.attributes)
)


def _default_folder(tx: Transaction, touched: Touched, obj: JsonObject) -> int:
    cls = touched.cls
    word = obj.get("type") if cls is FOLDER else WORD_OF_CLASS[cls.name]
    tenant = ENVIRONMENT if cls is TENANT else tenant_of(cls, obj, Seen(tx, touched))
    folder = tx.default_folder(tenant, str(word))
    is_unknown = is_hidden(tx, touched, (TENANT.id, tenant))
    if folder is not None and not is_unknown and tx.author.reads((FOLDER.id, folder)):
        return folder
    if is_unknown or not tx.exists(TENANT.id, tenant):
        path = "ownerID" if cls is FOLDER else _tenant_path(cls)
        raise errors.NoRef(f"{touched.shown} {path}: there is no CfgTenant:{tenant}")
    raise errors.NoRef(
        f"{touched.shown} folderDBID: tenant {tenant} has no default folder for {word}; "
        f"state a folder"
    )


def _tenant_path(cls: ObjectClass) -> str:
    """The attribute that says the tenant, or the reference that it is taken from."""
    attribute = cls.attribute(cls.tenant)
    return attribute.derived.partition(".")[0] if attribute and attribute.derived else cls.tenant
