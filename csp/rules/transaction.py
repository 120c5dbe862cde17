"""Holds one transaction while it is being put together: what it touches, over what is published.

1. Nothing here changes the database or the store; dropping a transaction undoes it.
2. `before` is as published, `after` as it will be: None means absent.
3. DBIDs given here become final with the commit; a refused transaction gives none away.
4. No more than CHANGED_OBJECTS_MAX objects are touched.
5. The first error is raised; a transaction that is only tried collects one a command, and leaves
   what a refused command touched alone from then on.
6. It is a tree of rights (csp.model.rights.Tree), of the objects and grants as they will be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from csp import errors
from csp.model.extract import Object as JsonObject
from csp.model.places import NOWHERE, Place, container_of
from csp.model.rights import Account, Grant, Grants, account_key
from csp.model.sealing import NoSealer, Sealer
from csp.model.symbolic import key_of
from csp.model.types import CLASSES, FIRST_DBID, ObjectClass, by_id
from csp.rules.references import Found, Key, targets_of

# A change of so many by cascade holds the writer for some seconds, and nobody else is served then.
CHANGED_OBJECTS_MAX: Final = 50_000


class Hashed(NamedTuple):
    """A secret as the database keeps it."""

    algorithm: str
    hash: str


class Kept(NamedTuple):
    """The grants on one object, and the number of their record: 0 where it has none."""

    number: int
    grants: Grants


NO_GRANTS: Final = Kept(0, {})


class Published(Protocol):
    """The state that the transaction is put on top of."""

    def get(self, class_id: int, dbid: int) -> JsonObject | None:
        """The object, which nobody may change; None if there is none."""

    def exists(self, class_id: int, dbid: int) -> bool: ...

    def referrers(
        self, class_id: int, dbid: int, most: int, classes: Sequence[int] = ()
    ) -> list[Key]:
        """Who refers to it, in order of class and DBID; where classes are named, of them alone."""

    def needers(self, class_id: int, dbid: int, most: int) -> list[tuple[Key, str]]:
        """Who needs it so that it can't be deleted, and by which path, in the same order.

        Found without a look at the objects: for another transaction's answer they must be few.
        """

    def account_revision(self, dbid: int) -> int:
        """The revision at which a person's password was set; 0 without one."""

    def default_folder(self, tenant: int, word: str) -> int | None:
        """The folder that takes a tenant's objects of one type when none is stated."""

    def kept_grants(self, class_id: int, dbid: int) -> Kept:
        """The grants of an object's own; NO_GRANTS also where there is no such object."""

    def granted_to(self, account: Account, most: int) -> list[Key]:
        """The objects with a grant to this account, in order; at most so many."""


class Author(Protocol):
    """Who wants the change: what he may read and do (csp.rules.author)."""

    def reads(self, key: Key) -> bool:
        """Whether an object may be shown to him; of none that is not there anybody may know."""

    def is_person(self, dbid: int) -> bool:
        """Whether this person is he himself."""

    def creates(self, key: Key) -> None:
        """A command creates this object."""

    def check(self, right: int, key: Key) -> None:
        """Raises NoPerm where he lacks a right on an object; of what is created: at its end."""

    def check_child(self, key: Key, parent: Key) -> None:
        """Raises NoPerm where he may not change what gets its state from above."""

    def check_place(self, touched: Touched) -> None:
        """Raises NoPerm where he may not put an object where it will lie."""


class ItsOwn:
    """The server itself: it may everything."""

    def reads(self, key: Key) -> bool:
        return True

    def is_person(self, dbid: int) -> bool:
        return False

    def creates(self, key: Key) -> None:
        pass

    def check(self, right: int, key: Key) -> None:
        pass

    def check_child(self, key: Key, parent: Key) -> None:
        pass

    def check_place(self, touched: Touched) -> None:
        pass


ITS_OWN: Final = ItsOwn()
NO_SEALER: Final = NoSealer()


@dataclass(slots=True)
class Touched:
    """One object that the transaction creates, changes or deletes."""

    cls: ObjectClass
    dbid: int
    command: int  # the first command that touched it, from 1
    before: JsonObject | None
    after: JsonObject | None
    secrets: dict[str, str] = field(default_factory=dict)
    hashed: Hashed | None = None  # a secret that came hashed already
    # The references of `before` and `after`, where they are known already; those of `after` are
    # known once they have been checked, or are what a deletion left of `before`'s.
    references_before: list[Found] | None = None
    references: list[Found] | None = None
    # Who became a member without a command that says so.
    joined: set[Key] = field(default_factory=set)

    @property
    def key(self) -> Key:
        return self.cls.id, self.dbid

    def differs_in(self, attributes: Iterable[str]) -> bool:
        """Whether one of these attributes, whole, is not as it was; so is all of what is new."""
        before, after = self.before, self.after
        if before is None or after is None:
            return True
        for name in attributes:
            was, now = before.get(name), after.get(name)
            if was is not now and was != now:
                return True
        return False

    @property
    def has_secret(self) -> bool:
        """Whether a secret of it is set or removed."""
        return bool(self.secrets) or self.hashed is not None

    @property
    def shown(self) -> str:
        """How errors name it: what is refused at creation never had its DBID."""
        return self.cls.name if self.before is None else f"{self.cls.name}:{self.dbid}"


@dataclass(slots=True)
class Granted:
    """The grants of one object, which the transaction changes."""

    key: Key
    command: int  # the first command that changed them, from 1
    before: Kept
    after: dict[Account, Grant]
    # Accounts whose grants commands gave or took, each with the last command that did: for these
    # the right to change them is needed.  What merely follows from a change needs none.
    stated: dict[Account, int] = field(default_factory=dict)


class Replacement(NamedTuple):
    """That a command replaces an account's grants on all below an object."""

    command: int
    place: Place
    account: Account


class Transaction:
    """The objects of one transaction, read and changed as its commands go by."""

    def __init__(self, published: Published, next_dbids: Mapping[int, int]) -> None:
        self.published = published
        self.author: Author = ITS_OWN
        self.sealer: Sealer = NO_SEALER
        self.touched: dict[Key, Touched] = {}
        self.deleted: dict[Key, Touched] = {}  # in the order of the commands
        self.granted: dict[Key, Granted] = {}
        self.replacements: list[Replacement] = []
        self.next_dbids = next_dbids
        self.given: dict[int, int] = {}  # class -> the number after the last one given here
        self.root_folders: dict[tuple[int, str], int] = {}
        self.stated: dict[Key, bool] = {}  # objects whose state a command stated: was it changed?
        self.command = 0
        self.gives_default_access = False  # whether new persons are Users of their tenant
        # Of a transaction that is only tried: the error of each command that is refused.
        self.refused: dict[int, errors.CspError] | None = None
        self._read: dict[Key, JsonObject | None] = {}
        self._present: set[Key] = set()
        self._refer: dict[Key, list[Key]] | None = None  # target -> touched ones that refer to it
        self._noted: list[tuple[Key, list[Found]]] = []  # touched since, not in `_refer` yet

    def refuse(self, error: errors.CspError) -> None:
        """Says that the present command is refused."""
        if self.refused is None:
            raise error
        self.refused.setdefault(self.command, error)

    # -- reading ---------------------------------------------------------------------------------

    def get(self, class_name: str, dbid: int) -> JsonObject | None:
        """The object as it will be (see csp.model.extract.Lookup); None if there is none."""
        cls = CLASSES.get(class_name)
        if cls is None:
            return None
        key = (cls.id, dbid)
        touched = self.touched.get(key)
        if touched:
            return touched.after
        if key not in self._read:
            self._read[key] = self.published.get(cls.id, dbid)
        return self._read[key]

    def exists(self, class_id: int, dbid: int) -> bool:
        key = (class_id, dbid)
        touched = self.touched.get(key)
        if touched:
            return touched.after is not None
        if key in self._present:
            return True
        if self.published.exists(class_id, dbid):
            self._present.add(key)
            return True
        return False

    def referrers(self, key: Key, classes: Sequence[int] = ()) -> list[Key]:
        """Who refers to it: the database, corrected by what this transaction touched.

        Of these classes alone where some are named.  TooBig where it is more than may be changed.
        """
        found = []
        if key[1]:
            found = self.published.referrers(*key, CHANGED_OBJECTS_MAX + 1, classes)
        if len(found) > CHANGED_OBJECTS_MAX:
            raise errors.TooBig(
                f"more than {CHANGED_OBJECTS_MAX} objects refer to {key_of(key)}, "
                f"more than one transaction may change: take the references away in parts first"
            )
        own = [one for one in self._own_referrers(key) if not classes or one[0] in classes]
        return [one for one in found if one not in self.touched] + own

    def needers(self, key: Key, most: int) -> list[tuple[Key, str]]:
        """Who needs it, of those that this transaction does not touch; `most` of them."""
        found = self.published.needers(*key, most + len(self.touched)) if key[1] else []
        return [one for one in found if one[0] not in self.touched][:most]

    def touched_referrers(self, key: Key) -> list[Key]:
        """Who refers to it of those that this transaction touches."""
        return list(self._own_referrers(key))

    def _own_referrers(self, key: Key) -> list[Key]:
        """What was touched is indexed once; `forget_referrers` after changing references."""
        if self._refer is None:
            self._refer = {}
            for touched in self.changes():
                assert touched.after is not None
                for target in targets_of(touched.cls, touched.after):
                    self._refer.setdefault(target, []).append(touched.key)
        for one, found in self._noted:
            for _, class_name, dbid in found:
                if class_name:
                    self._refer.setdefault((CLASSES[class_name].id, dbid), []).append(one)
        self._noted.clear()
        return self._refer.get(key, [])

    def note_referrer(self, key: Key, found: list[Found]) -> None:
        """An object is touched from now on: who asks for referrers is told of it from here."""
        if self._refer is not None:
            self._noted.append((key, found))

    def forget_referrers(self) -> None:
        self._refer = None
        self._noted.clear()

    def default_folder(self, tenant: int, word: str) -> int | None:
        found = self.root_folders.get((tenant, word))
        if found is None:
            found = self.published.default_folder(tenant, word)
            if found is not None and not self.exists(CLASSES["CfgFolder"].id, found):
                return None
        return found

    def container(self, place: Place) -> Place:
        """What an object lies in as it will be; NOWHERE: there is no such object."""
        cls = by_id.get(place[0])
        obj = self.get(cls.name, place[1]) if cls is not None else None
        return NOWHERE if cls is None or obj is None else container_of(cls, obj, self)

    def grants(self, place: Place) -> Grants:
        """The grants of an object's own as they will be: with a deleted object its grants go."""
        granted = self.granted.get(place)
        if granted is not None:
            return granted.after
        touched = self.touched.get(place)
        if touched is not None and touched.after is None:
            return NO_GRANTS.grants
        return self.published.kept_grants(*place).grants

    def granted_to(self, account: Account) -> list[Key]:
        """The objects with a grant to this account; TooBig where they are more than may change."""
        found = self.published.granted_to(account, CHANGED_OBJECTS_MAX + 1)
        if len(found) > CHANGED_OBJECTS_MAX:
            raise errors.TooBig(
                f"more than {CHANGED_OBJECTS_MAX} objects have grants to {account_key(account)}, "
                f"more than one transaction may change: take them away in parts first"
            )
        own = [key for key, granted in self.granted.items() if account in granted.after]
        return [one for one in found if one not in self.granted] + own

    # -- changing --------------------------------------------------------------------------------

    def give_dbid(self, cls: ObjectClass) -> int:
        return self.give_number(cls.id)

    def give_number(self, class_id: int) -> int:
        """The next number of a class, or of the records of grants."""
        number = self.given.get(class_id) or self.next_dbids.get(class_id, FIRST_DBID)
        self.given[class_id] = number + 1
        return number

    def create(self, cls: ObjectClass, dbid: int, obj: JsonObject) -> Touched:
        obj["DBID"] = dbid
        return self._add(Touched(cls, dbid, self.command, None, obj))

    def change(self, cls: ObjectClass, dbid: int) -> Touched:
        """The object, to be given its new state; NOREF-free: the caller knows that it exists."""
        touched = self.touched.get((cls.id, dbid))
        if touched is None:
            before = self.get(cls.name, dbid)
            touched = self._add(Touched(cls, dbid, self.command, before, before))
        return touched

    def delete(self, touched: Touched) -> None:
        touched.after = None
        touched.secrets.clear()
        touched.hashed = None
        self.deleted[touched.key] = touched

    def _add(self, touched: Touched) -> Touched:
        self._check_room()
        self.touched[touched.key] = touched
        return touched

    def change_grants(self, key: Key) -> Granted:
        """The grants of an object, to be changed; the caller knows that it exists."""
        granted = self.granted.get(key)
        if granted is None:
            self._check_room()
            before = self.published.kept_grants(*key)
            granted = Granted(key, self.command, before, dict(before.grants))
            self.granted[key] = granted
        return granted

    def _check_room(self) -> None:
        if len(self.touched) + len(self.granted) >= CHANGED_OBJECTS_MAX:
            raise errors.TooBig(
                f"a transaction changes at most {CHANGED_OBJECTS_MAX} objects and lists of grants, "
                f"those included that it changes by deleting others or by the state of others"
            )

    def changes(self) -> Iterator[Touched]:
        """What exists afterwards, in the order in which it was touched."""
        refused = self.refused or ()
        return (
            one
            for one in self.touched.values()
            if one.after is not None and one.command not in refused
        )


def class_of(key: Key) -> ObjectClass:
    return by_id[key[0]]
