"""What the server holds of the objects that an import speaks of."""

# 1. A Node gets the DBID of the one object on the server that it names; none: it keeps 0.
# 2. Classes are looked up in an order in which scopes come before what they scope.
# 3. Whole objects are fetched only of classes that the files define; else the brief form.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from csp.errors import CspError
from csp.model.places import Place
from csp.model.rights import Grants
from csp.model.types import CLASS_OF_WORD, CLASSES, ENVIRONMENT, WORD_OF_CLASS, ObjectClass
from csp.transfer.naturals import BY_PATH, IN_ORDER_OF_SCOPES, NATURALS
from csp.transfer.objects import Key, Node, Registry
from csp.transfer.problems import Problems
from csp.transfer.references import TENANT_WORD, dn_key

FINDS_MAX = 2_000  # so many single questions cost less than a page of a large class
READ_ALL_MAX = 2_000  # a class of so few objects is read whole
# The types of content for which an owner has a default folder.
WITH_DEFAULT_FOLDER = frozenset(CLASS_OF_WORD) - {WORD_OF_CLASS["CfgFolder"]}

Object = dict[str, Any]


class Source(Protocol):
    """What is asked of a client."""

    def count(self, class_name: str) -> int: ...

    def read(self, class_name: str, *, extra: tuple[str, ...] = ()) -> Iterator[Object]: ...

    def find_many(
        self, class_name: str, keys: list[dict[str, str | int]]
    ) -> list[Object | None]: ...

    def own_grants(self, places: Sequence[Place]) -> list[Grants | CspError]:
        """The own grants of each object; NoPerm where the account may not read them."""


class Present:
    """The server's objects, by Node."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.objects: dict[Node, Object] = {}
        # Objects that were read whole, by class and DBID.
        self.whole: dict[tuple[int, int], Object] = {}
        self.grants: dict[Place, Grants] = {}  # own grants, of objects for which they were asked
        self._folders: dict[int, Object] = {}
        self._roots: dict[tuple[str, int, str], int] = {}

    def environment(self) -> str:
        """The name of the tenant that holds what belongs to no other; empty: it can't be read."""
        for tenant in self.source.read("CfgTenant"):
            if tenant["DBID"] == ENVIRONMENT:
                return str(tenant["name"])
        return ""

    def default_folders(self) -> dict[str, str]:
        """The names of Environment's default folders, by type; every tenant has them too."""
        if not self._folders:
            for folder in self.source.read("CfgFolder"):
                self._folders[folder["DBID"]] = folder
                owner = folder["ownerID"]
                top = owner["type"] == "tenant" and not folder.get("folderDBID")
                if top and folder["type"] in WITH_DEFAULT_FOLDER:
                    key = (owner["type"], owner["DBID"], folder["type"])
                    known = self._roots.get(key)
                    if known is None or folder["DBID"] < known:
                        self._roots[key] = folder["DBID"]
        return {
            kind: self._folders[dbid]["name"]
            for (word, owner, kind), dbid in self._roots.items()
            if word == "tenant" and owner == ENVIRONMENT
        }

    def folders(self) -> dict[int, Object]:
        """All folders, whole, by DBID."""
        self.default_folders()
        return self._folders

    def default_folder(self, tenant: int, kind: str) -> int | None:
        """The DBID of a tenant's default folder for objects of that type."""
        return self._roots.get((TENANT_WORD, tenant, kind))

    def stands_alone(self, word: str, kind: str) -> bool:
        """Whether a folder has no default folder above it: sites, folders of a switch."""
        self.default_folders()
        return word != TENANT_WORD or all(kind != of for _, _, of in self._roots)

    def match(self, registry: Registry, problems: Problems) -> None:
        """Gives every Node that the server has its DBID."""
        by_class: dict[int, list[Node]] = {}
        for node in registry.nodes.values():
            by_class.setdefault(node.cls.id, []).append(node)
        for name in IN_ORDER_OF_SCOPES:
            cls = CLASSES[name]
            nodes = by_class.get(cls.id)
            if nodes and name != BY_PATH:
                self._match(cls, nodes, problems)
        # Objects of any class may own folders, and only folders have a folder in their key.
        self._match_folders(by_class.get(CLASSES[BY_PATH].id, []))

    def _match(self, cls: ObjectClass, nodes: list[Node], problems: Problems) -> None:
        wanted: dict[Key, list[Node]] = {}
        for node in nodes:
            key = _key_at_server(node)
            if key is not None:
                wanted.setdefault(key, []).append(node)
        if not wanted:
            return
        several: dict[Key, list[Object]] = {}
        found: dict[Key, Object] = {}
        values, are_whole = self._fetch(cls, wanted)
        for value in values:
            key = _key_of(cls, value)
            if key not in wanted:
                continue
            if are_whole:
                self.whole[cls.id, value["DBID"]] = value
            if key in found:
                several.setdefault(key, [found[key]]).append(value)
            found[key] = value
        for key, value in found.items():
            for node in wanted[key]:
                chosen: Object | None = value
                if cls.name == "CfgSwitch":
                    chosen = _choose_switch(node, several.get(key, [value]), problems)
                elif key in several:
                    _report_several(node, len(several[key]), problems)
                if chosen is not None:
                    node.dbid = chosen["DBID"]
                    self.objects[node] = chosen

    def _fetch(
        self, cls: ObjectClass, wanted: dict[Key, list[Node]]
    ) -> tuple[Iterable[Object], bool]:
        """What may be wanted, and whether it is whole."""
        count = self.source.count(cls.name)
        if count == 0:
            return (), True
        names = FIND_KEYS.get(cls.name)
        if count <= READ_ALL_MAX or len(wanted) > FINDS_MAX or names is None:
            defined = any(node.item is not None for nodes in wanted.values() for node in nodes)
            return self.source.read(cls.name, extra=() if defined else ("BRIEF",)), defined
        keys = [dict(zip(names, key[1:], strict=True)) for key in wanted]
        found = self.source.find_many(cls.name, keys)
        return [value for value in found if value is not None], True

    # ------------------------------------------------------------------ folders

    def _match_folders(self, nodes: list[Node]) -> None:
        paths: dict[Key, int] = {}
        for dbid, folder in self._folders.items():
            owner = folder["ownerID"]
            key = (owner["type"], owner["DBID"], folder["type"])
            names = self._path(dbid, self._roots.get(key, 0))
            paths.setdefault((*key, names), dbid)
        for node in nodes:  # a folder that owns others was spoken of before them
            _, word, owner_node, kind, names = node.key
            dbid = paths.get((word, owner_node.dbid, kind, names), 0)
            if dbid and owner_node.dbid:
                node.dbid = dbid
                self.objects[node] = self._folders[dbid]

    def _path(self, dbid: int, root: int) -> tuple[str, ...]:
        """Names from below the default folder (or from the top, outside it) to the folder."""
        names: list[str] = []
        while dbid and dbid != root and len(names) <= len(self._folders):
            folder = self._folders.get(dbid)
            if folder is None:
                break
            names.append(folder["name"])
            dbid = folder.get("folderDBID", 0)
        return tuple(reversed(names))


# ---------------------------------------------------------------------- keys


def _key_at_server(node: Node) -> Key | None:
    """The Node's key with DBIDs as scopes; None if a scope is not on the server."""
    key: list[Any] = []
    # A switch may have a fourth part, which tells it from another of its name.
    for part in node.key[:3] if node.cls.name == "CfgSwitch" else node.key:
        if isinstance(part, Node):
            if not part.dbid:
                return None
            key.append(part.dbid)
        else:
            key.append(part)
    return tuple(key)


def _key_of(cls: ObjectClass, value: Object) -> Key:
    """The key under which an object of the server is looked for."""
    if cls.name == "CfgDN":
        return dn_key(value["switchDBID"], value["number"], value["type"], value.get("name"))
    return (cls.id, *NATURALS[cls.name].values(value))


# Filter keys by which one object of a class is found, scope last; other classes are read whole.
FIND_KEYS: dict[str, tuple[str, ...]] = {
    "CfgAgentLogin": ("switch_dbid", "login_code"),
    "CfgPerson": ("tenant_dbid", "employee_id"),
    "CfgSkill": ("tenant_dbid", "name"),
    "CfgPlace": ("tenant_dbid", "name"),
    "CfgAgentGroup": ("tenant_dbid", "name"),
    "CfgPlaceGroup": ("tenant_dbid", "name"),
    "CfgAccessGroup": ("tenant_dbid", "name"),
    "CfgEnumerator": ("tenant_dbid", "name"),
    "CfgEnumeratorValue": ("enumerator_dbid", "name"),
    **dict.fromkeys(
        ("CfgTenant", "CfgHost", "CfgApplication", "CfgAppPrototype", "CfgPhysicalSwitch"),
        ("name",),
    ),
}


def _choose_switch(node: Node, found: list[Object], problems: Problems) -> Object | None:
    """Of switches with one name, the one on the physical switch that the file states."""
    stated = node.item.body.get("physSwitchDBID") if node.item is not None else None
    if isinstance(stated, Node):
        same = [one for one in found if one.get("physSwitchDBID") == stated.dbid]
        return same[0] if same else None
    if len(found) > 1:
        _report_several(node, len(found), problems)
    return found[0]


def _report_several(node: Node, count: int, problems: Problems) -> None:
    file = node.item.file if node.item is not None else "server"
    rule = f"is ambiguous: the server has {count} objects of {node.cls.name} that are named so"
    problems.add(file, rule, object=node.shown)


__all__ = ["Present", "Source"]
