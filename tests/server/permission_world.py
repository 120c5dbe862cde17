"""Who may read what, said once more: brute force over all objects and grants, from the rules' text.

1. Nothing here looks at csp's tables or code.
2. A world is what there is at one revision: objects by key, and grants by key and account.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

Object = dict[str, Any]
Grants = dict[str, dict[str, str]]  # by object's key and account's key: the rights as words
OWNERS = {"tenant": "CfgTenant", "switch": "CfgSwitch", "ivr": "CfgIVR",
          "enumerator": "CfgEnumerator"}  # fmt: skip
TENANTS = {"CfgAgentGroup": "groupInfo", "CfgAccessGroup": "groupInfo"}


class World:
    """All objects and grants of one revision."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.grants: Grants = {}

    def copy(self) -> World:
        """What does not change with this one."""
        other = World()
        other.objects = dict(self.objects)
        other.grants = copy.deepcopy(self.grants)
        return other

    # ---- where an object lies ----

    def tenant(self, key: str) -> str:
        """The tenant's key."""
        one = self.objects[key]
        if "ownerID" in one:
            owner = f"{OWNERS[one['ownerID']['type']]}:{one['ownerID']['DBID']}"
            return owner if owner.startswith("CfgTenant:") else self.tenant(owner)
        part = one.get(TENANTS.get(one["class"], ""), one)
        return f"CfgTenant:{part.get('tenantDBID', 1)}"

    def container(self, key: str) -> str:
        """What it lies in; empty: it is a tenant, or gone."""
        one = self.objects.get(key)
        if one is None or one["class"] == "CfgTenant":
            return ""
        if one.get("folderDBID"):
            return f"CfgFolder:{one['folderDBID']}"
        if "ownerID" in one:
            return f"{OWNERS[one['ownerID']['type']]}:{one['ownerID']['DBID']}"
        return self.tenant(key)

    def chain(self, key: str) -> Iterator[str]:
        """It, its container, …, its tenant."""
        while key:
            yield key
            key = self.container(key)

    # ---- who somebody is ----

    def is_enabled(self, key: str) -> bool:
        one = self.objects.get(key, {"state": "gone"})
        return one.get("groupInfo", one).get("state", "enabled") == "enabled"

    def accounts(self, person: str) -> set[str]:
        """The person and all groups that it is in: by membership, nested, and as everybody."""
        found = {person}
        groups = {key: one for key, one in self.objects.items() if one["class"] == "CfgAccessGroup"}
        for key, one in groups.items():
            is_his = self.tenant(key) == self.tenant(person) and self.is_enabled(person)
            if one["type"] == "everyonegroup" and is_his and self.is_enabled(key):
                found.add(key)
        more = True
        while more:
            more = False
            for key, one in groups.items():
                members = {
                    {"person": "CfgPerson", "accessgroup": "CfgAccessGroup"}[m["type"]]
                    + f":{m['DBID']}"
                    for m in one.get("memberIDs", ())
                }
                if key not in found and self.is_enabled(key) and members & found:
                    found.add(key)
                    more = True
        return found

    # ---- what he may ----

    def rights(self, accounts: set[str], key: str) -> set[str]:
        """The union of the grants that count."""
        decided: dict[str, set[str]] = {}
        for at in self.chain(key):
            for account, words in self.grants.get(at, {}).items():
                stated = set(words.split(","))
                counts = at == key or "propagate" in stated
                if counts and account in accounts and account not in decided:
                    decided[account] = stated - {"propagate", "none"}
        return set().union(*decided.values())

    def readable(self, person: str) -> dict[str, Object]:
        """All that this person may read."""
        accounts = self.accounts(person)
        return {key: one for key, one in self.objects.items() if "R" in self.rights(accounts, key)}

    def by_class(self, person: str) -> Mapping[str, dict[str, Object]]:
        """The same by class."""
        found: dict[str, dict[str, Object]] = {}
        for key, one in self.readable(person).items():
            found.setdefault(one["class"], {})[key] = one
        return found
