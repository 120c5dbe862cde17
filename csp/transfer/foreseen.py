"""The server's state as an import sees it: what was read, with what the plan has done to it so far.

1. What a rule asks for and was not read yet is fetched, together with what it may ask for next.
2. Whatever a file refers to was found on the server or is in the plan, so every DBID exists.
3. What the plan creates has a number of its own, beyond all that servers give.
4. What the plan made of an object is held as JSON, which takes a fifth of the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import orjson

from csp.errors import CspError, NoPerm
from csp.model.extract import Object as JsonObject
from csp.model.places import Place
from csp.model.rights import Account, Grants
from csp.model.types import CLASSES, ObjectClass, UniqueRule, by_id
from csp.rules.complete import FOLDER
from csp.rules.names import UniqueName, names_of
from csp.rules.references import Key, targets_of
from csp.rules.transaction import NO_GRANTS, Kept, Transaction
from csp.transfer.naturals import NATURALS
from csp.transfer.objects import Node
from csp.transfer.present import FINDS_MAX, Present, Source

FETCHED_AT_ONCE = 500
FORESEEN_FIRST = 1 << 30  # servers count from 101
FORESEEN_OF_CLASS = 1 << 23

# Whose references a rule asks for when it looks at an object of a class: a host's name can't
# change while applications run on it, and an application's tenants must be those of its switches.
# All others are asked for where states are handed down and where objects are deleted: an import
# deletes nothing, and no handed down state is refused.
ASKED_FOR_BY = {
    CLASSES["CfgHost"].id: ("CfgApplication",),
    CLASSES["CfgApplication"].id: ("CfgSwitch",),
}
# The same where a rule names the classes: the default groups that new tenants' grants go to, and
# who is in EVERYONE where nobody else may change permissions.
ASKED_FOR_OF_CLASS = {CLASSES["CfgTenant"].id: ("CfgAccessGroup", "CfgPerson")}
# The filter key by which the one object with a unique value is found, of large classes.
FOUND_BY: dict[tuple[str, tuple[str, ...]], str] = {("CfgPerson", ("userName",)): "user_name"}


class Server(Source, Protocol):
    """What is asked of a server."""

    def get_many(self, class_name: str, dbids: list[int]) -> list[JsonObject | None]: ...


def first_numbers() -> dict[int, int]:
    """From which number on the objects of each class count that do not exist yet."""
    return {cls.id: FORESEEN_FIRST + cls.id * FORESEEN_OF_CLASS for cls in CLASSES.values()}


class Foreseen:
    """What csp.rules asks of the published state (see csp.rules.transaction.Published)."""

    def __init__(self, server: Server, present: Present, nodes: Iterable[Node]) -> None:
        self.next_dbids = first_numbers()
        self._server = server
        self._present = present
        self._objects: dict[Key, JsonObject | None] = dict(present.whole)
        self._objects |= {(FOLDER.id, dbid): one for dbid, one in present.folders().items()}
        self._unread: dict[int, list[int]] = {}  # by class: what may be asked for
        for node in nodes:
            if node.dbid and (node.cls.id, node.dbid) not in self._objects:
                self._unread.setdefault(node.cls.id, []).append(node.dbid)
        self._changed: dict[Key, bytes] = {}
        self._grants: dict[Place, Grants] = dict(present.grants)
        self._referrers: dict[tuple[Key, tuple[int, ...]], list[Key]] = {}  # asked for, of tenants
        self._roots: dict[tuple[int, str], int] = {}
        self._names: dict[UniqueName, int] = {}
        self._named: set[int] = set()  # classes whose every name is known
        self._small: dict[int, list[JsonObject]] = {}  # classes that were read whole

    # ------------------------------------------------------------------ what rules ask

    def get(self, class_id: int, dbid: int) -> JsonObject | None:
        key = (class_id, dbid)
        changed = self._changed.get(key)
        if changed is not None:
            found: JsonObject = orjson.loads(changed)
            return found
        if key not in self._objects and dbid < FORESEEN_FIRST:
            self._fetch(class_id, dbid)
        return self._objects.get(key)

    def exists(self, class_id: int, dbid: int) -> bool:
        return True

    def needers(self, class_id: int, dbid: int, most: int) -> list[tuple[Key, str]]:
        return []  # an import deletes nothing

    def referrers(
        self, class_id: int, dbid: int, most: int, classes: Sequence[int] = ()
    ) -> list[Key]:
        target = (class_id, dbid)
        if class_id in ASKED_FOR_OF_CLASS and classes:
            return self._of_tenant(target, tuple(classes))[:most]
        return [
            key
            for name in ASKED_FOR_BY.get(class_id, ())
            if not classes or CLASSES[name].id in classes
            for key, obj in self._all(CLASSES[name])
            if target in targets_of(CLASSES[name], obj)
        ][:most]

    def _of_tenant(self, tenant: Key, classes: tuple[int, ...]) -> list[Key]:
        """What belongs to a tenant, asked for once; a new one has but what comes with it."""
        if tenant[1] >= FORESEEN_FIRST:
            return []
        found = self._referrers.get((tenant, classes))
        if found is None:
            found = self._referrers[tenant, classes] = [
                key
                for name in ASKED_FOR_OF_CLASS[tenant[0]]
                if CLASSES[name].id in classes
                for key, obj in self._all(CLASSES[name])
                if tenant in targets_of(CLASSES[name], obj)
            ]
        return found

    def account_revision(self, dbid: int) -> int:
        return 0

    def default_folder(self, tenant: int, word: str) -> int | None:
        return self._roots.get((tenant, word)) or self._present.default_folder(tenant, word)

    def kept_grants(self, class_id: int, dbid: int) -> Kept:
        place = (class_id, dbid)
        if place not in self._grants:
            self._grants[place] = self._ask_grants(place)
        found = self._grants[place]
        return Kept(1, found) if found else NO_GRANTS

    def own_grants(self, places: Sequence[Place]) -> list[Grants]:
        """Those of each object, as a plan asks once all objects are there."""
        return [self.kept_grants(*place).grants for place in places]

    def _ask_grants(self, place: Place) -> Grants:
        if place[1] >= FORESEEN_FIRST:
            return {}
        (found,) = self._server.own_grants([place])
        if isinstance(found, NoPerm):
            return {}  # what can't be foreseen is left to the server
        if isinstance(found, CspError):
            raise found
        return found

    def granted_to(self, account: Account, most: int) -> list[Key]:
        return []  # an import deletes nothing

    # ------------------------------------------------------------------ what the plan does

    def take(self, tx: Transaction) -> None:
        """Takes a transaction for done."""
        for touched in tx.touched.values():
            if touched.before is not None:
                for name in names_of(touched.cls, touched.before):
                    if self._names.get(name) == touched.dbid:
                        del self._names[name]
        for touched in tx.changes():
            assert touched.after is not None
            self._changed[touched.key] = orjson.dumps(touched.after)
            self._names |= dict.fromkeys(names_of(touched.cls, touched.after), touched.dbid)
        self._grants |= {key: dict(one.after) for key, one in tx.granted.items()}
        self._referrers.clear()
        self.next_dbids |= tx.given
        self._roots |= tx.root_folders

    # ------------------------------------------------------------------ names

    def learn_names(self, tx: Transaction) -> None:
        """Finds out who has the names that a transaction takes, as far as it can be others."""
        wanted: dict[int, list[UniqueName]] = {}
        for touched in tx.changes():
            assert touched.after is not None
            names = names_of(touched.cls, touched.after)
            if touched.before is not None:
                had = names_of(touched.cls, touched.before)
                names = [name for name in names if name not in had]
            else:
                natural = set(NATURALS[touched.cls.name].cls.natural)
                rules = touched.cls.unique
                names = [name for name in names if set(rules[name.rule].of) != natural]
            if names and touched.cls.id not in self._named:
                wanted.setdefault(touched.cls.id, []).extend(names)
        for class_id, names in wanted.items():
            self._learn(by_id[class_id], names)

    def owner_of(self, name: UniqueName) -> int | None:
        return self._names.get(name)

    def _learn(self, cls: ObjectClass, names: list[UniqueName]) -> None:
        rules = {name.rule for name in names}
        keys = [FOUND_BY.get((cls.name, cls.unique[rule].of)) for rule in rules]
        if None in keys or len(names) > FINDS_MAX or self._server.count(cls.name) <= FINDS_MAX:
            self._note(cls, self._whole_class(cls))
            self._named.add(cls.id)
            return
        (key,) = keys
        assert key is not None
        found = self._server.find_many(cls.name, [{key: name.value} for name in names])
        self._note(cls, (one for one in found if one is not None))

    def _note(self, cls: ObjectClass, objects: Iterable[JsonObject]) -> None:
        for one in objects:
            dbid = int(one["DBID"])
            if (cls.id, dbid) not in self._changed:
                for name in names_of(cls, one):
                    self._names.setdefault(name, dbid)

    def _whole_class(self, cls: ObjectClass) -> Iterable[JsonObject]:
        """The objects of a class with what their names are made of."""
        if cls is FOLDER:
            return self._present.folders().values()
        parts = {path.partition(".")[0] for rule in cls.unique for path in _paths(rule)}
        return self._server.read(cls.name, extra=("FIELDS", str(len(parts)), *sorted(parts)))

    # ------------------------------------------------------------------ reading

    def _fetch(self, class_id: int, dbid: int) -> None:
        """One object that was not read, and some that were not either."""
        unread = self._unread.get(class_id, [])
        wanted = [dbid]
        while unread and len(wanted) < FETCHED_AT_ONCE:
            at = unread.pop()
            if at != dbid and (class_id, at) not in self._objects:
                wanted.append(at)
        found = self._server.get_many(by_id[class_id].name, wanted)
        self._objects |= {(class_id, at): one for at, one in zip(wanted, found, strict=True)}

    def _all(self, cls: ObjectClass) -> Iterator[tuple[Key, JsonObject]]:
        """All objects of a small class as they would be."""
        if cls.id not in self._small:
            small = self._small[cls.id] = list(self._server.read(cls.name))
            self._objects |= {(cls.id, one["DBID"]): one for one in small}
        for one in self._small[cls.id]:
            if (cls.id, one["DBID"]) not in self._changed:
                yield (cls.id, one["DBID"]), one
        for key, changed in self._changed.items():
            if key[0] == cls.id:
                yield key, orjson.loads(changed)


def _paths(rule: UniqueRule) -> Iterator[str]:
    yield from rule.of
    yield from rule.unless
    yield from rule.when
