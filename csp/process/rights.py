"""What one person may do with the objects of a store.

1. All is of the revision that the reader has pinned; whoever goes on at another makes a new one.
2. Of an object that is not there nobody has a right.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Protocol

from csp.model.places import TENANT, Place
from csp.model.rights import ADMINISTERED, CHANGE_PERMISSIONS, Account
from csp.model.scope import Scope, holds, within


class Records(Protocol):
    """A store, as rights are asked of it."""

    def revision_of(self, class_id: int, dbid: int) -> int:
        """An object's revision, whoever may read it; 0: there is none."""

    def raw_rights(
        self, class_id: int, dbid: int, accounts: Iterable[Account], *, inside: bool = False
    ) -> int:
        """The rights of all these accounts on an object, or on what lies in it."""

    def raw_container(self, class_id: int, dbid: int) -> Place:
        """What an object lies in; NOWHERE: there is no such object."""

    def raw_grants(self, class_id: int, dbid: int) -> bytes | None:
        """The record of what is granted on an object; None: nothing."""

    def accounts_of(self, person_dbid: int) -> Set[Account]:
        """A person and its groups; empty where it is disabled or gone."""


class AccountRights:
    """The rights of one person, outside of a scope none."""

    def __init__(self, records: Records, person: int, scope: Scope | None = None) -> None:
        self._records = records
        self._scope = scope
        self._accounts = records.accounts_of(person)

    def on(self, place: Place) -> int:
        """The rights on an object."""
        if self._scope is not None:
            governs_itself = place[0] == TENANT.id or self._records.raw_grants(*place) is not None
            if not holds(self._scope, place, self._container, governs_itself=governs_itself):
                return 0
        return self._records.raw_rights(*place, self._accounts)

    def within(self, container: Place) -> int:
        """The rights on what lies in a container and has no grants of its own."""
        if self._scope is not None and not within(self._scope, container, self._container):
            return 0
        return self._records.raw_rights(*container, self._accounts, inside=True)

    def exists(self, place: Place) -> bool:
        """Whether an object is there at all."""
        return self._records.revision_of(*place) != 0

    def _container(self, place: Place) -> Place:
        return self._records.raw_container(*place)

    @property
    def administers(self) -> bool:
        """Whether the person is an administrator, and sees all."""
        return self._scope is None and bool(self.on(ADMINISTERED) & CHANGE_PERMISSIONS)
