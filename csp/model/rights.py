"""The rights that grants give, and which of them an account's sessions have on an object.

1. For each account the nearest grant counts: the object's own, else that of the next container
   above whose grant propagates.  One without propagate concerns its object alone.
2. A grant of nothing ("none") hides from that account only.
3. A session's rights are the union over its person and all its groups; nothing denies.
4. A tenant's object ends the chain: its own grants alone govern it.

What is enough to know them is asked of a `Tree`, so that a store, a transaction and a test can be
one; the compiled evaluator (csp/_fastpath/store) does the same for reads alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Final, Protocol

from csp.errors import BadValue
from csp.model.places import TENANT, Place, upwards
from csp.model.symbolic import key_of, parse_key
from csp.model.types import CLASSES, ENVIRONMENT, ObjectClass

# Elementary permissions: Read, Create, Update, Execute, Delete, Read Permissions, Change
# Permissions.  The numbers stand in records and in the database.
RIGHTS: Final = {"R": 1, "C": 2, "U": 4, "X": 8, "D": 16, "RP": 32, "CP": 64}
READ, CREATE, UPDATE, EXECUTE, DELETE, READ_PERMISSIONS, CHANGE_PERMISSIONS = RIGHTS.values()
ALL: Final = sum(RIGHTS.values())
PROPAGATE: Final = 128
NONE_WORD, PROPAGATE_WORD = "none", "propagate"

PERSON, ACCESS_GROUP = CLASSES["CfgPerson"], CLASSES["CfgAccessGroup"]
# An account: (class, DBID) of a person or an access group, or this one, as which nobody signs in.
Account = tuple[int, int]
SYSTEM: Final[Account] = (0, 0)
# Who may change the permissions of this object is an administrator.
ADMINISTERED: Final[Place] = TENANT.id, ENVIRONMENT
SYSTEM_WORD: Final = "SYSTEM"
Grant = int  # rights, and PROPAGATE
Grants = Mapping[Account, Grant]


class Tree(Protocol):
    """Where objects lie, and what is granted on them."""

    def container(self, place: Place) -> Place:
        """What an object lies in; NOWHERE: there is no such object."""

    def grants(self, place: Place) -> Grants:
        """Its own grants."""


def grant_of(words: str) -> Grant:
    """`R,C,U,X,D,RP,CP[,propagate]` or `none[,propagate]`; raises BadValue."""
    stated = words.split(",")
    grant = PROPAGATE if PROPAGATE_WORD in stated else 0
    rights = [word for word in stated if word != PROPAGATE_WORD]
    if rights == [NONE_WORD]:
        return grant
    for word in rights:
        if word not in RIGHTS:
            raise BadValue(
                f"{word!r} is no right: {','.join(RIGHTS)}[,{PROPAGATE_WORD}]"
                f" or {NONE_WORD}[,{PROPAGATE_WORD}] is meant"
            )
        grant |= RIGHTS[word]
    if not rights:
        raise BadValue(f"no right is stated: a grant of nothing is {NONE_WORD!r}")
    return grant


def words_of(grant: Grant) -> str:
    """A grant as `grant_of` reads it."""
    rights = [word for word, bit in RIGHTS.items() if grant & bit] or [NONE_WORD]
    return ",".join([*rights, *([PROPAGATE_WORD] if grant & PROPAGATE else ())])


def account_of(key: str) -> Account:
    """A CfgPerson's or CfgAccessGroup's key, or SYSTEM; raises BadKey, BadClass or BadValue."""
    if key == SYSTEM_WORD:
        return SYSTEM
    cls, dbid = parse_key(key)
    return account_class(cls), dbid


def account_class(cls: ObjectClass) -> int:
    """The number of a class whose objects are accounts; raises BadValue."""
    if cls not in (PERSON, ACCESS_GROUP):
        raise BadValue(
            f"a {cls.name} is no account: {PERSON.name}, {ACCESS_GROUP.name} or {SYSTEM_WORD}"
            f" is meant"
        )
    return cls.id


def account_key(account: Account) -> str:
    """An account as `account_of` reads it."""
    return SYSTEM_WORD if account == SYSTEM else key_of(account)


def chain(tree: Tree, place: Place) -> Iterator[Place]:
    """The object and its containers, the nearest first, up to its tenant."""
    return upwards(place, tree.container)


def deciding(
    tree: Tree, place: Place, accounts: Set[Account]
) -> dict[Account, tuple[Place, Grant]]:
    """Of each account that has one, the grant that counts on an object, and where it stands."""
    found: dict[Account, tuple[Place, Grant]] = {}
    for at in chain(tree, place):
        for account, grant in tree.grants(at).items():
            if account in found or account not in accounts:
                continue
            if at == place or grant & PROPAGATE:
                found[account] = at, grant
    return found


def union(grants: Iterable[Grant]) -> int:
    """The rights that grants give together."""
    rights = 0
    for grant in grants:
        rights |= grant & ALL
    return rights


def rights_on(tree: Tree, place: Place, accounts: Set[Account]) -> int:
    """The rights on an object of who is all these accounts."""
    return union(grant for _, grant in deciding(tree, place, accounts).values())


def rights_in(tree: Tree, container: Place, accounts: Set[Account]) -> int:
    """The rights on an object without grants of its own that would lie in this container."""
    found: dict[Account, Grant] = {}
    for at in chain(tree, container):
        for account, grant in tree.grants(at).items():
            if account in accounts and grant & PROPAGATE:
                found.setdefault(account, grant)
    return union(found.values())
