"""The grants that a new tenant comes with, and where a new person begins.

A database of an earlier release gets the same grants once.

1. They propagate from the tenant's object: all rights for Environment's Super Administrators, for
   SYSTEM and the first account, and for the tenant's Administrators; R and X for its Users.
2. System objects (the first account, the master's Application, the default groups) have own grants
   of R for Administrators: these can't change them.
3. Its Users have R and X on the Application `default`.  EVERYONE is granted nothing.
4. Groups and objects that were deleted are passed over; what commands of the same transaction say
   of an account's grants is left as they say.
5. A new person is in no group, so that nothing is granted to him; by the option no-default-access
   he is in his tenant's Users.  To make a person is enough for that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from csp.model.groups import ADMINISTRATORS, ENABLED, SUPER_ADMINISTRATORS, USERS
from csp.model.objects import ordered
from csp.model.places import Place
from csp.model.rights import ALL, EXECUTE, PERSON, PROPAGATE, READ, SYSTEM, Account, Grants
from csp.model.types import CLASSES, ENVIRONMENT
from csp.rules.accounts import DEFAULT_ACCOUNT as FIRST_ACCOUNT
from csp.rules.complete import ACCESS_GROUP, FORCED, TENANT, is_default_group
from csp.rules.references import Key
from csp.rules.transaction import Hashed, Replacement, Touched, Transaction

APPLICATION: Final = CLASSES["CfgApplication"]
# Built-in objects of Environment, with the original's numbers.
DEFAULT_ACCOUNT: Final[Key] = PERSON.id, FIRST_ACCOUNT
MASTER_APPLICATION: Final[Key] = APPLICATION.id, 99
TOOLS_APPLICATION: Final[Key] = APPLICATION.id, 100
# Default groups are made with their tenant, so they are among the first that belong to it.
LOOKED_AT_MAX: Final = 1000


def add_default_grants(tx: Transaction, tenant: int) -> None:
    """Those of one tenant, which is there with its groups."""
    groups = default_groups(tx, tenant)
    supers = groups if tenant == ENVIRONMENT else default_groups(tx, ENVIRONMENT)
    everything = [SYSTEM, DEFAULT_ACCOUNT if tx.exists(*DEFAULT_ACCOUNT) else None]
    everything += [supers.get(SUPER_ADMINISTRATORS), groups.get(ADMINISTRATORS)]
    top = {account: ALL | PROPAGATE for account in everything if account is not None}
    users, administrators = groups.get(USERS), groups.get(ADMINISTRATORS)
    if users is not None:
        top[users] = READ | EXECUTE | PROPAGATE
        _give(tx, TOOLS_APPLICATION, {users: READ | EXECUTE})
    _give(tx, (TENANT.id, tenant), top)
    if administrators is not None:
        system = list(groups.values())
        if tenant == ENVIRONMENT:
            system += [DEFAULT_ACCOUNT, MASTER_APPLICATION]
        for place in system:
            _give(tx, place, {administrators: READ})


def default_groups(tx: Transaction, tenant: int) -> dict[str, Account]:
    """A tenant's default groups, by type."""
    keys = tx.published.referrers(TENANT.id, tenant, LOOKED_AT_MAX, (ACCESS_GROUP.id,))
    keys += [one.key for one in tx.touched.values() if one.before is None]
    found: dict[str, Account] = {}
    for class_id, dbid in keys:
        group = tx.get(ACCESS_GROUP.name, dbid) if class_id == ACCESS_GROUP.id else None
        if group is None or group["groupInfo"].get("tenantDBID") != tenant:
            continue
        if is_default_group(group):
            found.setdefault(group["type"], (class_id, dbid))
    return found


def restore_default_account(tx: Transaction, tenants: Iterable[int], hashed: Hashed) -> None:
    """Enables the first account with this password, and gives it all rights on all there is.

    What is granted to it below the tenants' objects goes: it might hide something from it.
    """
    touched = tx.change(PERSON, DEFAULT_ACCOUNT[1])
    assert touched.after is not None
    forced = {FORCED: False} if touched.after.get(FORCED) else {}
    touched.after = {**touched.after, "state": ENABLED, **forced}
    touched.hashed = hashed
    for tenant in tenants:
        place = TENANT.id, tenant
        granted = tx.change_grants(place)
        granted.after[DEFAULT_ACCOUNT] = ALL | PROPAGATE
        tx.replacements.append(Replacement(tx.command, place, DEFAULT_ACCOUNT))


def join_users(tx: Transaction, person: Touched) -> None:
    """Makes a created person a member of the Users of his tenant, where these are there."""
    assert person.after is not None
    tenant = person.after["tenantDBID"]
    users = default_groups(tx, tenant).get(USERS)
    if users is None:
        return
    touched = tx.change(ACCESS_GROUP, users[1])
    assert touched.after is not None
    members = [*touched.after.get("memberIDs", ()), {"type": "person", "DBID": person.dbid}]
    touched.after = ordered(ACCESS_GROUP, {**touched.after, "memberIDs": members})
    touched.joined.add(person.key)


def _give(tx: Transaction, place: Place, grants: Grants) -> None:
    if not tx.exists(*place):
        return
    granted = tx.change_grants(place)
    for account, grant in grants.items():
        if account not in granted.stated:
            granted.after.setdefault(account, grant)
