"""Access groups and persons as rights need them: kinds of groups, members, who is enabled.

1. EVERYONE of a tenant is each of its persons, and lists nobody.
2. What is disabled gives nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from csp.model.rights import Account
from csp.model.types import CLASS_OF_WORD, CLASSES

EVERYONE: Final = "everyonegroup"
USERS: Final = "usersgroup"
ADMINISTRATORS: Final = "administratorsgroup"
SUPER_ADMINISTRATORS: Final = "superadministratorsgroup"
ENABLED: Final = "enabled"


def is_enabled(obj: Mapping[str, Any]) -> bool:
    """Whether a person, an access group or an Application is; what states nothing is enabled."""
    return (obj.get("groupInfo") or obj).get("state") in (None, ENABLED)


def members_of(group: Mapping[str, Any]) -> Iterator[Account]:
    """The persons and groups that an access group lists."""
    for member in group.get("memberIDs", ()):
        cls = CLASSES.get(CLASS_OF_WORD.get(member.get("type"), ""))
        if cls is not None:
            yield cls.id, member["DBID"]
