"""Says where an object lies: its tenants, its container, the node that governs it.

1. A container's tree is that of the objects themselves: folder, its folder, …, the root folder's
   owner, that one's folder, …, to the tenant, whose object ends the chain.
2. What governs an object is a node. A container's node is what it hands down to what lies in it;
   an object with grants of its own, and each tenant, has a node beside that which governs itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from csp.model.extract import Lookup, Object, value_at
from csp.model.types import CLASS_OF_WORD, CLASSES, ENVIRONMENT, ObjectClass

FOLDER, TENANT = CLASSES["CfgFolder"], CLASSES["CfgTenant"]
# In a record's flags: the object has grants of its own, it is the node that governs itself.
OWN_GRANTS = 2
# A class and a DBID: what an object lies in, or the node that governs it. Class 0: none.
Place = tuple[int, int]
# In the class of a node's name: it is the object's own, which governs nothing but itself.
OWN_NODE = 0x8000
NOWHERE: Place = (0, 0)
CONTAINERS_MAX: Final = 10_000  # above an object, as in store/limits.pxi: more would be a circle


def _owner_tenant(owner: Any, look: Lookup) -> int:
    """The tenant of a folder's owner; folders own folders through their own owner."""
    if not isinstance(owner, dict):
        return ENVIRONMENT
    word, dbid = owner.get("type"), int(owner.get("DBID", 0))
    if word == "tenant":
        return dbid or ENVIRONMENT
    class_name = CLASS_OF_WORD.get(str(word))
    other = look.get(class_name, dbid) if class_name else None
    return tenant_of(CLASSES[class_name], other, look) if class_name and other else ENVIRONMENT


def tenant_of(cls: ObjectClass, obj: Object, look: Lookup) -> int:
    """The tenant that an object belongs to; 1, the Environment, where it has none of its own."""
    rule = cls.tenant
    if rule == "self":
        return int(obj["DBID"])
    if rule == "owner":
        return _owner_tenant(obj.get("ownerID"), look)
    if rule == "none" or rule.startswith("list:"):
        return ENVIRONMENT
    return int((obj.get(rule) if "." not in rule else value_at(obj, rule)) or ENVIRONMENT)


def tenants_of(cls: ObjectClass, obj: Object, look: Lookup) -> set[int]:
    """All tenants whose subscribers see the object."""
    if cls.tenants_path:
        return {ENVIRONMENT, *(obj.get(cls.tenants_path) or ())}
    return {tenant_of(cls, obj, look)}


def placing(cls: ObjectClass) -> tuple[str, ...]:
    """The attributes that say where an object lies, and whose subscribers see it."""
    found = _placing.get(cls.id)
    if found is None:
        names = ["ownerID", cls.tenants_path, cls.tenant.partition(".")[0]]
        _placing[cls.id] = found = ("folderDBID", *(one for one in names if one in cls.by_name))
    return found


_placing: dict[int, tuple[str, ...]] = {}


def container_of(cls: ObjectClass, obj: Object, look: Lookup) -> Place:
    """What the object lies in: its folder; of a root folder its owner; else its tenant."""
    folder = obj.get("folderDBID", 0)
    if folder:
        return FOLDER.id, folder
    if cls.tenant == "owner":
        owner = obj.get("ownerID") or {}
        owning = CLASSES.get(CLASS_OF_WORD.get(str(owner.get("type")), ""))
        if owning is not None and owner.get("DBID"):
            return owning.id, int(owner["DBID"])
    return TENANT.id, tenant_of(cls, obj, look)


def upwards(place: Place, container_of: Callable[[Place], Place]) -> Iterator[Place]:
    """The object and its containers, the nearest first, up to its tenant or one that is gone.

    `container_of` says NOWHERE where there is no such object.
    """
    for _ in range(CONTAINERS_MAX):
        if place == NOWHERE:
            return
        yield place
        place = NOWHERE if place[0] == TENANT.id else container_of(place)


def folder_of(cls: ObjectClass, obj: Object, look: Lookup) -> int:
    """DBID of the folder that the object lies in; 0: in none."""
    class_id, dbid = container_of(cls, obj, look)
    return dbid if class_id == FOLDER.id else 0


def governor_of(class_id: int, dbid: int, flags: int, container: Place) -> Place:
    """The node that governs an object: its container's; its own where it has grants of its own.

    A tenant's object is governed by its own, never by the folder it lies in.
    """
    if flags & OWN_GRANTS or class_id == TENANT.id:
        return class_id | OWN_NODE, dbid
    return container


def node_of(cls: ObjectClass, obj: Object, look: Lookup, *, own: bool) -> Place:
    """The node that governs an object as it is; `own`: it has grants of its own."""
    flags = OWN_GRANTS if own else 0
    return governor_of(cls.id, obj["DBID"], flags, container_of(cls, obj, look))
