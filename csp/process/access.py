"""Explains from a store who may do what to an object, and which grant by which path decides it.

It asks nothing of any view: its callers decide who may be told.

1. Whether an account stands for a person is the store's to say (`accounts_of`); a path is only how
   he comes to it: himself, the groups that list him, the groups that list those, or his tenant,
   whose EVERYONE lists nobody.
2. Of each account one grant counts on an object: its own, else the nearest from above that
   propagates.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import orjson

from csp.model.grants import grants_in
from csp.model.groups import EVERYONE, members_of
from csp.model.places import TENANT, Place
from csp.model.rights import (
    ACCESS_GROUP,
    PERSON,
    PROPAGATE,
    Account,
    Grant,
    Grants,
    account_key,
    chain,
    deciding,
    union,
    words_of,
)
from csp.model.symbolic import key_of


class Store(Protocol):
    """The store as it is at the revision that is pinned."""

    def accounts_of(self, person_dbid: int) -> Set[Account]: ...
    def raw_get(self, class_id: int, dbid: int) -> bytes | None: ...
    def raw_grants(self, class_id: int, dbid: int) -> bytes | None: ...
    def raw_container(self, class_id: int, dbid: int) -> Place: ...


class StoreTree:
    """The tree of a store (see csp.model.rights.Tree)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def container(self, place: Place) -> Place:
        return self._store.raw_container(*place)

    def grants(self, place: Place) -> Grants:
        image = self._store.raw_grants(*place)
        return {} if image is None else grants_in(image)


@dataclass(frozen=True, slots=True)
class Inherited:
    """A grant that counts on an object and stands on a container of it."""

    account: Account
    grant: Grant
    at: Place


def permissions(store: Store, place: Place) -> tuple[Grants, list[Inherited]]:
    """An object's own grants, and the nearest from above of each account that has no own one."""
    tree = StoreTree(store)
    own = tree.grants(place)
    inherited: dict[Account, Inherited] = {}
    for at in islice(chain(tree, place), 1, None):
        for account, grant in sorted(tree.grants(at).items()):
            if account not in own and grant & PROPAGATE:
                inherited.setdefault(account, Inherited(account, grant, at))
    return own, list(inherited.values())


def explained(store: Store, person: int, place: Place) -> dict[str, Any]:
    """What decides the rights of a person on an object, as JSON has it."""
    accounts = store.accounts_of(person)
    tree = StoreTree(store)
    found = deciding(tree, place, accounts)
    above = list(chain(tree, place))
    decided = [
        {
            "account": account_key(account),
            "grant": words_of(grant),
            "at": key_of(at),
            "by": [key_of(one) for one in above[: above.index(at) + 1]],
        }
        for account, (at, grant) in sorted(
            found.items(), key=lambda one: (above.index(one[1][0]), one[0])
        )
    ]
    return {
        "account": f"{PERSON.name}:{person}",
        "enabled": bool(accounts),
        "groups": _groups(store, person, accounts),
        "rights": words_of(union(grant for _, grant in found.values())),
        "decided": decided,
    }


def _groups(store: Store, person: int, accounts: Set[Account]) -> list[dict[str, Any]]:
    """The groups that a person stands for, each with the way that leads to it."""
    groups = {
        account: _object(store, account) for account in accounts if account[0] == ACCESS_GROUP.id
    }
    tenant = _object(store, (PERSON.id, person)).get("tenantDBID", 0)
    via: dict[Account, list[str]] = {(PERSON.id, person): []}
    for account, group in groups.items():
        if group.get("type") == EVERYONE and group["groupInfo"].get("tenantDBID") == tenant:
            via[account] = [f"{TENANT.name}:{tenant}"]
    _follow(groups, via)
    return [
        {
            "key": account_key(account),
            "name": groups[account]["groupInfo"]["name"],
            "via": via[account],
        }
        for account in sorted(groups)
        if account in via
    ]


def _follow(groups: dict[Account, Any], via: dict[Account, list[str]]) -> None:
    """Goes from members to the groups that list them, the shortest ways first."""
    listed = {account: set(members_of(group)) for account, group in groups.items()}
    waiting: Sequence[Account] = list(via)
    while waiting:
        following: list[Account] = []
        for account, members in listed.items():
            member = next((one for one in waiting if one in members), None)
            if member is not None and account not in via:
                via[account] = [*via[member], account_key(member)]
                following.append(account)
        waiting = following


def _object(store: Store, place: Place) -> dict[str, Any]:
    found = store.raw_get(*place)
    shown: dict[str, Any] = {} if found is None else orjson.loads(found)
    return shown
