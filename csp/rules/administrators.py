"""Sees to it that somebody is left who may say who may what: an administrator.

1. An administrator is an enabled person with Change Permissions on Environment's object, by a grant
   to himself or to a group that he is in.  A disabled group gives nothing.
2. A transaction after which there is none is refused; where there was none before, it may pass.
3. It is looked for only where grants on that object, groups or persons lose something.
"""

from __future__ import annotations

from typing import Final

from csp import errors
from csp.model.extract import Object as JsonObject
from csp.model.groups import EVERYONE, is_enabled, members_of
from csp.model.places import TENANT
from csp.model.rights import ACCESS_GROUP, ADMINISTERED, CHANGE_PERMISSIONS, PERSON, Account
from csp.model.symbolic import key_of
from csp.model.types import by_id
from csp.rules.transaction import Touched, Transaction

LOOKED_AT_MAX: Final = 10_000  # of a tenant's persons: where all these are disabled, nobody is left


def check_administrators(tx: Transaction) -> None:
    """Refuses where nobody is left: INUSE of the command that takes the last one."""
    command = _last_loss(tx)
    if not command or has_administrator(tx):
        return
    if has_administrator(Transaction(tx.published, tx.next_dbids)):
        tx.command = command
        text = (
            f"nobody would be left who is enabled and has CP on {key_of(ADMINISTERED)}: "
            f"grant it to another one first"
        )
        tx.refuse(errors.InUse(text))


def has_administrator(tx: Transaction) -> bool:
    """Whether there is one, as it will be."""
    granted = tx.grants(ADMINISTERED).items()
    # Persons are looked at first: they stand last.
    accounts = sorted((one for one, grant in granted if grant & CHANGE_PERMISSIONS), reverse=True)
    seen: set[Account] = set()
    while accounts:
        account = accounts.pop()
        if account in seen:
            continue
        seen.add(account)
        cls = by_id.get(account[0])
        obj = tx.get(cls.name, account[1]) if cls is not None else None
        if cls is None or obj is None or not is_enabled(obj):
            continue
        if cls is PERSON or (obj["type"] == EVERYONE and _has_enabled(tx, obj)):
            return True
        accounts += members_of(obj)
    return False


def _has_enabled(tx: Transaction, everyone: JsonObject) -> bool:
    """Whether one of a tenant's persons is enabled: all of these are in the group."""
    tenant = everyone["groupInfo"]["tenantDBID"]
    keys = tx.published.referrers(TENANT.id, tenant, LOOKED_AT_MAX, (PERSON.id,))
    keys += [one.key for one in tx.touched.values() if one.cls is PERSON and one.before is None]
    for key in keys:
        person = tx.get(PERSON.name, key[1])
        if person is not None and person["tenantDBID"] == tenant and is_enabled(person):
            return True
    return False


def _last_loss(tx: Transaction) -> int:
    """The last command that may have taken an administrator; 0: none did."""
    last = 0
    granted = tx.granted.get(ADMINISTERED)
    if granted is not None and granted.after != granted.before.grants:
        last = max([granted.command, *granted.stated.values()])
    for touched in tx.touched.values():
        if touched.command > last and _is_loss(touched):
            last = touched.command
    return last


def _is_loss(touched: Touched) -> bool:
    before, after = touched.before, touched.after
    if before is None or before == after:
        return False
    if touched.cls is PERSON:
        return is_enabled(before) and not (after is not None and is_enabled(after))
    return touched.cls is ACCESS_GROUP
