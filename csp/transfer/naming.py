"""Turns DBIDs into references as files spell them: the reverse of references.py."""

# 1. Everything is named by the natural key that an import looks for, so that what is exported can
#    be imported into any other database.
# 2. A DBID that the server does not show to the reader has no name: NoName says which.
#    It has none of its own either where its name is within such a one, as in a hidden tenant.
# 3. The names of all objects are held, not the objects.
# 4. A path says where its first folder lies by itself: one that is called as a default folder is
#    has that folder's name before it, because an import leaves that name out.

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from csp.model.types import CLASS_OF_WORD, ENVIRONMENT
from csp.transfer.naturals import BY_PATH, GLOBAL, NATURALS, TENANT
from csp.transfer.present import Object
from csp.transfer.references import (
    DEFAULT_FOLDERS,
    GENERIC_FOLDER,
    OBJECT_TYPE,
    TENANT_WORD,
)


class NoName(Exception):
    """A reference to an object that the reader can't see, or that has just been deleted."""

    def __init__(self, class_name: str, dbid: int) -> None:
        super().__init__(f"{class_name}:{dbid}")


class Names:
    """What every object is called."""

    def __init__(self) -> None:
        # By class: DBID -> the values of the natural key, DBIDs for scopes.
        self._keys: dict[str, dict[int, tuple[Any, ...]]] = {name: {} for name in NATURALS}
        self._folders: dict[int, Object] = {}
        # Objects that are known by one that the reader can't see, as their tenant: by which.
        self.nameless: dict[tuple[str, int], str] = {}

    def learn(self, class_name: str, objects: Iterable[Object]) -> None:
        """Takes the names of a class's objects, whole or in the brief form."""
        if class_name == BY_PATH:
            self._folders = {one["DBID"]: one for one in objects}
            return
        natural, keys = NATURALS[class_name], self._keys[class_name]
        for one in objects:
            name = one.get("name") if class_name == "CfgDN" else None
            keys[one["DBID"]] = (*natural.values(one), name)

    def key(self, class_name: str, dbid: int) -> tuple[Any, ...]:
        found = self._keys[class_name].get(dbid)
        if found is None:
            raise NoName(class_name, dbid)
        return found

    def see(self, class_name: str, dbid: int) -> None:
        """Raises NoName where the reader sees no such object."""
        known = self._folders if class_name == BY_PATH else self._keys.get(class_name, {})
        if dbid not in known:
            raise NoName(class_name, dbid)

    def dbids(self, class_name: str) -> list[int]:
        """The DBIDs of a class in their order."""
        return sorted(self._folders if class_name == BY_PATH else self._keys[class_name])

    def sorted(self, class_name: str) -> list[int]:
        """The DBIDs of a class in the order of their names: folders above those in them.

        What has no name for this reader is left out, and noted in `nameless`.
        """
        dbids: Iterable[int] = self._keys[class_name]
        if class_name == BY_PATH:
            dbids = [dbid for dbid in self._folders if not self.is_default_folder(dbid)]
        orders: dict[int, tuple[str, ...]] = {}
        for dbid in dbids:
            try:
                orders[dbid] = self._order(class_name, dbid)
            except NoName as problem:
                self.nameless[class_name, dbid] = str(problem)
        return sorted(orders, key=orders.__getitem__)

    def alike(self, class_name: str, dbids: Iterable[int]) -> list[tuple[int, int]]:
        """Pairs among these that have one natural key: an import can't tell them apart."""
        if class_name == BY_PATH:
            return []  # the server itself holds paths unique
        first: dict[tuple[Any, ...], int] = {}
        found = ((first.setdefault(self.key(class_name, dbid), dbid), dbid) for dbid in dbids)
        return [(one, other) for one, other in found if one != other]

    def _order(self, class_name: str, dbid: int) -> tuple[str, ...]:
        if class_name == BY_PATH:
            return self._folder_order(dbid)
        natural = NATURALS[class_name]
        texts: list[str] = []
        for part, value in zip(natural.parts, self.key(class_name, dbid), strict=False):
            texts += self._order(part.of, value) if part.of else [str(value or "")]
        return (*texts, str(self.key(class_name, dbid)[-1] or ""), f"{dbid:010}")

    def tenant(self, class_name: str, dbid: int) -> int:
        """The tenant in which an object's own references are read; of a folder, its owner's."""
        if class_name == BY_PATH:
            owner = self._folder(dbid)["ownerID"]
            if owner["type"] == TENANT_WORD:
                return int(owner["DBID"])
            return self.tenant(CLASS_OF_WORD[owner["type"]], owner["DBID"])
        natural = NATURALS[class_name]
        if class_name in GLOBAL:
            return ENVIRONMENT
        key = self.key(class_name, dbid)
        if natural.in_tenant:
            return int(key[0])
        return self.tenant(natural.scopes[0].of, key[0])

    # ------------------------------------------------------------------ references

    def reference(self, class_name: str, dbid: int, tenant: int) -> Any:
        """How an object of that tenant refers to this one."""
        if class_name == BY_PATH:
            return self.folder(dbid) or self._placed(self._folder(dbid), [])
        natural, key = NATURALS[class_name], self.key(class_name, dbid)
        if class_name in GLOBAL:
            return key[0]
        own = self.tenant(class_name, dbid)
        self.see(TENANT, own)  # an import finds nothing in a tenant that it can't read
        if natural.in_tenant and len(natural.parts) == 2 and own == tenant:
            return key[1]
        found = self._parts(class_name, key, own)
        if own != tenant:
            found["tenant"] = self.key(TENANT, own)[0]
        return found

    def _parts(self, class_name: str, key: tuple[Any, ...], own: int) -> Object:
        """What tells an object from others of its tenant."""
        found: Object = {}
        for part, value in zip(NATURALS[class_name].parts, key, strict=False):
            if part.of != TENANT:
                found[part.name] = self.reference(part.of, value, own) if part.of else value
        if class_name == "CfgDN" and key[-1] and found["type"] == "destinationlabel":
            found["name"] = key[-1]
        return found

    def described(self, pair: tuple[str, ...], value: Object, tenant: int) -> Object:
        """How a type and a DBID are written as an object."""
        return _with_type(pair[0], *self._of_pair(pair, value, tenant))

    def typed(self, pair: tuple[str, ...], value: Object, tenant: int, mere: str) -> Any:
        """How a type and a DBID are written; of the type `mere` a name is enough.

        Without such a type the word stands before every name.
        """
        word, found = self._of_pair(pair, value, tenant)
        if isinstance(found, str) and word == mere:
            return found
        if isinstance(found, str) and not mere:
            return f"{word}/{found}"
        return _with_type(pair[0], word, found)

    def _of_pair(self, pair: tuple[str, ...], value: Object, tenant: int) -> tuple[str, Any]:
        """The word of the type, and the reference."""
        word = value[pair[0]]
        class_name = CLASS_OF_WORD.get(word)
        if class_name is None:
            raise NoName(word, value[pair[1]])
        return word, self.reference(class_name, value[pair[1]], tenant)

    # ------------------------------------------------------------------ folders

    def is_default_folder(self, dbid: int) -> bool:
        """Whether the server makes that folder with its owner."""
        one = self._folders[dbid]
        return (
            not one.get("folderDBID")
            and one["ownerID"]["type"] == TENANT_WORD
            and one["type"] != GENERIC_FOLDER
        )

    def default_folders(self) -> list[int]:
        """The DBIDs of tenants' default folders, in the order of tenants and types.

        Of several top folders it is the one with the lowest DBID, as everywhere.
        """
        found: dict[tuple[str, ...], int] = {}
        for dbid in sorted(self._folders):
            one = self._folders[dbid]
            if self.is_default_folder(dbid) and one["ownerID"]["DBID"] in self._keys[TENANT]:
                order = self._order(TENANT, one["ownerID"]["DBID"])
                found.setdefault((*order, one["type"]), dbid)
        return [found[key] for key in sorted(found)]

    def folder(self, dbid: int) -> Object | None:
        """A folder by type, owner and path; None for a default folder of a tenant."""
        one = self._folder(dbid)
        if self.is_default_folder(dbid):
            return None
        return self._placed(one, [*self._path_above(one), one["name"]])

    def _folder(self, dbid: int) -> Object:
        found = self._folders.get(dbid)
        if found is None:
            raise NoName(BY_PATH, dbid)
        return found

    def _placed(self, one: Object, path: list[str]) -> Object:
        """A path of folders of the type and owner of one of them."""
        owner = one["ownerID"]["type"]
        if path and owner == TENANT_WORD and path[0] == DEFAULT_FOLDERS.get(one["type"]):
            path = [path[0], *path]
        return {"type": one["type"], "owner": self._owner(one), "path": path}

    def _owner(self, folder: Object) -> Object:
        """The owner of a folder, an object of any class."""
        word, number = folder["ownerID"]["type"], folder["ownerID"]["DBID"]
        class_name = CLASS_OF_WORD[word]
        if class_name == BY_PATH:
            return {OBJECT_TYPE: word, **self.reference(class_name, number, ENVIRONMENT)}
        key = self.key(class_name, number)
        if class_name in GLOBAL:
            return {"type": word, "name": key[0]}
        own = self.tenant(class_name, number)
        found = self._parts(class_name, key, own) | {"tenant": self.key(TENANT, own)[0]}
        return {OBJECT_TYPE if "type" in found else "type": word, **found}

    def place_of(self, dbid: int) -> Object:
        """Where a folder itself lies: as `folder`, without its own name."""
        one = self._folders[dbid]
        return self._placed(one, self._path_above(one))

    def folder_object(self, dbid: int) -> Object:
        return self._folders[dbid]

    def _path_above(self, one: Object) -> list[str]:
        path: list[str] = []
        dbid = one.get("folderDBID", 0)
        while dbid and len(path) <= len(self._folders):
            above = self._folders.get(dbid)
            if above is None:
                raise NoName(BY_PATH, dbid)
            if self.is_default_folder(dbid):
                break
            path.append(above["name"])
            dbid = above.get("folderDBID", 0)
        return path[::-1]

    def _folder_order(self, dbid: int) -> tuple[str, ...]:
        one = self._folder(dbid)
        word, number = one["ownerID"]["type"], one["ownerID"]["DBID"]
        owner = self._order(CLASS_OF_WORD[word], number)
        return (word, *owner, one["type"], *self._path_above(one), one["name"])


def _with_type(word_name: str, word: str, reference: Any) -> Object:
    rest = {"name": reference} if isinstance(reference, str) else reference
    return {OBJECT_TYPE if word_name in rest else word_name: word, **rest}
