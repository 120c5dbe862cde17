"""Decides what who wants a change may do, by the grants that the master itself has.

1. A person has what is granted to himself and to all enabled groups that he is in, at any depth,
   EVERYONE of his tenant among them; a message says who he is, and nothing of his groups.
2. What is there is judged by the state before the request; what the request creates, a tenant
   too, by its container, or by that one's where the request creates it as well.  No command of a
   request makes another one of it lawful.
3. What he may not read is not there for him; of what he may read an error says which right he
   lacks on which object.
4. Create is needed on the container itself; a move takes Update and Delete on the object, and
   Create where it goes to.
5. Outside of the scope of the proxy that he asks through there is nothing for him.
6. A change that follows from a command takes no right of its own: references to what is deleted
   are cleared wherever they stand, or nobody could delete what somebody else's object names.  The
   state alone takes Update on every object that it is handed down to (states.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from csp import errors
from csp.model.extract import Object as JsonObject
from csp.model.groups import is_enabled
from csp.model.places import NOWHERE, TENANT, Place, container_of, placing
from csp.model.principal import Principal
from csp.model.rights import (
    CREATE,
    DELETE,
    PERSON,
    READ,
    RIGHTS,
    UPDATE,
    Account,
    Grants,
    rights_in,
    rights_on,
)
from csp.model.scope import Scope, holds, read_scope, within
from csp.rules.hidden import named
from csp.rules.references import Key
from csp.rules.transaction import Touched, Transaction

RIGHT_NAMES: Final = {
    "R": "Read",
    "C": "Create",
    "U": "Update",
    "X": "Execute",
    "D": "Delete",
    "RP": "Read Permissions",
    "CP": "Change Permissions",
}


class State(Protocol):
    """The state before a request, as rights are decided by."""

    def get(self, class_id: int, dbid: int) -> JsonObject | None:
        """An object; None if there is none."""

    def container(self, place: Place) -> Place:
        """What an object lies in; NOWHERE: there is no such object."""

    def grants(self, place: Place) -> Grants:
        """Its own grants."""

    def groups_of(self, member: Account) -> Sequence[Account]:
        """The enabled access groups that list a person or a group as a member."""

    def everyone_of(self, tenant: int) -> Iterable[Account]:
        """The enabled groups that each person of a tenant is in."""


def accounts_of(state: State, dbid: int) -> frozenset[Account]:
    """All accounts that a person stands for; empty where he is disabled, or there is none."""
    person = state.get(PERSON.id, dbid)
    if person is None or not is_enabled(person):
        return frozenset()
    waiting = [(PERSON.id, dbid), *state.everyone_of(person["tenantDBID"])]
    found = set(waiting)
    while waiting:
        for group in state.groups_of(waiting.pop()):
            if group not in found:
                found.add(group)
                waiting.append(group)
    return frozenset(found)


class SignedIn:
    """A person who wants one transaction made (see csp.rules.transaction.Author)."""

    def __init__(
        self, tx: Transaction, state: State, person: int, scope: Scope | None = None
    ) -> None:
        """Raises NoAuth where nobody is signed in, or not any more."""
        self._scope = scope
        self._tx = tx
        self._state = state
        self._person = person
        self._accounts = accounts_of(state, person) if person else frozenset()
        self._on: dict[Key, int] = {}  # on what is there
        self._within: dict[Place, int] = {}  # on what lies in a container and has no own grants
        self._created: set[Key] = set()  # by commands
        self._needed: dict[Key, int] = {}  # on what is created, when it is known where it lies
        if not self._accounts:
            why = f"the account {PERSON.name}:{person} is disabled or gone" if person else ""
            raise errors.NoAuth(why or "nobody is signed in who could write")

    def is_person(self, dbid: int) -> bool:
        return dbid == self._person

    def reads(self, key: Key) -> bool:
        return self._is_new(key) or bool(self._rights(key) & READ)

    # -- the rights ------------------------------------------------------------------------------

    def _rights(self, key: Key) -> int:
        """The rights on an object as it was; on one that is created by where it will lie."""
        if self._is_new(key):
            return self._rights_within(self._container(key))
        found = self._on.get(key)
        if found is None:
            container = self._state.container(key)
            governs_itself = key[0] == TENANT.id or bool(self._state.grants(key))
            if not self._holds(key, governs_itself=governs_itself):
                found = 0
            elif container != NOWHERE and not governs_itself:
                found = self._rights_within(container)
            else:
                found = rights_on(self._state, key, self._accounts)
            self._on[key] = found
        return found

    def _rights_within(self, container: Place) -> int:
        for _ in range(len(self._tx.touched)):
            if not self._is_new(container):
                break
            container = self._container(container)
        found = self._within.get(container)
        if found is None:
            found = rights_in(self._state, container, self._accounts)
            if self._scope is not None and not within(
                self._scope, container, self._state.container
            ):
                found = 0
            self._within[container] = found
        return found

    def _holds(self, key: Key, *, governs_itself: bool) -> bool:
        """Whether an object is in what his server shows."""
        return self._scope is None or holds(
            self._scope, key, self._state.container, governs_itself=governs_itself
        )

    def _is_new(self, key: Key) -> bool:
        touched = self._tx.touched.get(key)
        return touched is not None and touched.before is None

    def _container(self, key: Key) -> Place:
        """What an object will lie in; NOWHERE: it is gone again."""
        touched = self._tx.touched[key]
        if touched.after is None:
            return NOWHERE
        return container_of(touched.cls, touched.after, self._tx)

    # -- what commands need ----------------------------------------------------------------------

    def creates(self, key: Key) -> None:
        self._created.add(key)

    def check(self, right: int, key: Key) -> None:
        if self._is_new(key):
            self._needed[key] = self._needed.get(key, 0) | right
        else:
            self._require(right, key)

    def check_child(self, key: Key, parent: Key) -> None:
        if not self._rights(key) & UPDATE:
            raise errors.NoPerm(
                f"{said(UPDATE)} is needed on {named(self._tx, key)}, which gets its state from "
                f"{named(self._tx, parent)}: nothing was changed"
            )

    def check_place(self, touched: Touched) -> None:
        key = touched.key
        if touched.before is None:
            if key in self._created:
                self._require(CREATE, self._container(key))
            self._require(self._needed.get(key, 0), key)
        elif touched.differs_in(placing(touched.cls)):
            to = self._container(key)
            if to != self._state.container(key):
                self._require(UPDATE | DELETE, key)
                self._require(CREATE, to)

    def _require(self, rights: int, key: Key) -> None:
        missing = rights & ~self._rights(key)
        if missing:
            shown = self._tx.touched[key].shown if self._is_new(key) else named(self._tx, key)
            raise errors.NoPerm(f"{said(missing)} is needed on {shown}")


def said(rights: int) -> str:
    """Rights as errors name them: `Update (U) and Delete (D)`."""
    return " and ".join(
        f"{RIGHT_NAMES[word]} ({word})" for word, bit in RIGHTS.items() if rights & bit
    )


def author_of(tx: Transaction, state: State, principal: Principal) -> SignedIn:
    """Who wants a transaction; raises NoAuth."""
    return SignedIn(tx, state, principal.account_dbid, read_scope(principal.scope))
