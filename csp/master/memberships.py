"""Says which access groups a person or a group is in, as the master decides rights by.

1. A disabled group gives nothing, nor do the groups that list it.
2. EVERYONE is by its type: each person of the tenant is in it, and nobody has to be listed.
3. Which groups list a member is asked of the database, and remembered until a group changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from csp.model.extract import Object as JsonObject
from csp.model.groups import EVERYONE, is_enabled
from csp.model.rights import ACCESS_GROUP, Account
from csp.rules.references import references_to

MEMBERS_MAX: Final = 100_000  # persons and groups of which is remembered what they are in
MEMBERS_PATH: Final = "memberIDs[]"


class AccessGroups:
    """What must be known of all access groups."""

    def __init__(self) -> None:
        self._everyone: dict[int, int] = {}  # DBID -> tenant
        self._disabled: set[int] = set()

    def copy(self) -> AccessGroups:
        """One that goes its own way."""
        found = AccessGroups()
        found._everyone, found._disabled = dict(self._everyone), set(self._disabled)
        return found

    def note(self, dbid: int, obj: JsonObject | None) -> None:
        """Hears of a group as it is now; None: it is gone."""
        self._everyone.pop(dbid, None)
        self._disabled.discard(dbid)
        if obj is None:
            return
        if not is_enabled(obj):
            self._disabled.add(dbid)
        if obj.get("type") == EVERYONE:
            self._everyone[dbid] = obj["groupInfo"]["tenantDBID"]

    def everyone_of(self, tenant: int) -> Iterator[Account]:
        """The groups that each person of a tenant is in."""
        found = [dbid for dbid, its in self._everyone.items() if its == tenant]
        return ((ACCESS_GROUP.id, dbid) for dbid in found if dbid not in self._disabled)

    def enabled(self, dbids: Sequence[int]) -> list[Account]:
        """Those of them that give what they are granted."""
        return [(ACCESS_GROUP.id, dbid) for dbid in dbids if dbid not in self._disabled]


class Listed:
    """The groups that list each member, as far as somebody asked."""

    def __init__(self, ask: Callable[[Account], Sequence[int]]) -> None:
        self._ask = ask
        self._known: dict[Account, Sequence[int]] = {}

    def by(self, member: Account) -> Sequence[int]:
        """DBIDs of the groups that list it."""
        found = self._known.get(member)
        if found is None:
            if len(self._known) >= MEMBERS_MAX:
                self._known.clear()
            found = self._known[member] = self._ask(member)
        return found

    def forget(self) -> None:
        """A group has changed."""
        self._known.clear()


def lists(group: JsonObject, member: Account) -> bool:
    """Whether a group lists a person or a group as a member."""
    return any(one.path == MEMBERS_PATH for one in references_to(ACCESS_GROUP, group, member))
