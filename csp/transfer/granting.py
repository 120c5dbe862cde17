"""Grants as files state them: how they are read, compared with the server's, put in order.

1. A stated list is all of an object's own grants: what the server has beyond it is taken away.
2. What contains others comes after what it contains, tenants last, tenant 1 at the very end: an
   import that takes its own account's rights away has done all else by then.  All that changes on
   one object is in one transaction, which is judged by the rights before it.
3. A new tenant brings grants of its own with it, on its groups and on `default` too.  Where a plan
   creates one, all grants are compared when the objects are there, by what the server has then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from csp.errors import BadValue, CspError
from csp.model.places import Place
from csp.model.rights import (
    ACCESS_GROUP,
    PERSON,
    SYSTEM,
    SYSTEM_WORD,
    Account,
    Grant,
    Grants,
    account_key,
    grant_of,
    words_of,
)
from csp.model.types import ENVIRONMENT, WORD_OF_CLASS
from csp.transfer.merging import settle
from csp.transfer.objects import Item, Node, StatedGrants
from csp.transfer.present import Present, Source
from csp.transfer.references import (
    FOLDER,
    FOLDERS_DEEP_MAX,
    TENANT,
    Context,
    WrongValue,
    shown_type,
    step,
    typed,
)

GRANTS: Final = "grants"  # what an object's list is called
# Under this name `__metadata__` says of how many objects a file lacks the grants.
LEFT_OUT: Final = "grantsLeftOut"
ACCOUNT_PAIR: Final = ("type", "DBID")
ACCOUNT_WORDS: Final = tuple(WORD_OF_CLASS[cls.name] for cls in (PERSON, ACCESS_GROUP))
PAIR: Final = '["accessgroup/Users", "R,X"]'

_read_typed = typed(ACCOUNT_PAIR)


# ---------------------------------------------------------------------- reading


def read_grants(value: Any, context: Context) -> StatedGrants:
    """A list of pairs, each an account and its rights."""
    if value.__class__ is not list:
        rule = f"a list of pairs as {PAIR} is expected, not {shown_type(value)}"
        raise WrongValue(rule)
    found: StatedGrants = {}
    for index, pair in enumerate(value):
        account, grant = step(f"[{index}]", _pair, pair, context)
        if account in found:
            raise WrongValue("the same account stands before it", f"[{index}]")
        found[account] = grant
    return found


def _pair(value: Any, context: Context) -> tuple[Node | None, Grant]:
    if value.__class__ is not list or len(value) != 2 or value[1].__class__ is not str:
        raise WrongValue(f"an account and its rights are expected, as {PAIR}")
    try:
        return _account(value[0], context), grant_of(value[1])
    except BadValue as problem:
        raise WrongValue(problem.text) from None


def _account(value: Any, context: Context) -> Node | None:
    """`SYSTEM`, a type and a name as `person/17`, or an object with type and key."""
    if value == SYSTEM_WORD:
        return None
    found = _read_typed(value, context)
    if found[ACCOUNT_PAIR[0]] not in ACCOUNT_WORDS:
        words = ", ".join((*ACCOUNT_WORDS, SYSTEM_WORD))
        raise WrongValue(f"a {found[ACCOUNT_PAIR[0]]} is no account: {words} is meant")
    node: Node = found[ACCOUNT_PAIR[1]]
    return node


# ---------------------------------------------------------------------- comparing


class Granted(Protocol):
    """Where own grants are looked up, once all objects are there."""

    def own_grants(self, places: Sequence[Place]) -> list[Grants]:
        """Those of each object."""

    def default_folder(self, tenant: int, kind: str) -> int | None:
        """A tenant's default folder for objects of that type; None: the tenant is refused."""


class AtServer:
    """What a server has."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._present: Present | None = None

    def own_grants(self, places: Sequence[Place]) -> list[Grants]:
        found: list[Grants] = []
        for one in self._source.own_grants(places):
            if isinstance(one, CspError):
                raise one
            found.append(one)
        return found

    def default_folder(self, tenant: int, kind: str) -> int | None:
        if self._present is None:
            self._present = Present(self._source)
            self._present.default_folders()
        found = self._present.default_folder(tenant, kind)
        if found is None:
            raise LookupError(f"the server has made no default folder for {kind}")
        return found


@dataclass(frozen=True, slots=True)
class Regrant:
    """How the own grants of one object change."""

    item: Item
    give: list[tuple[Node | None, Grant]]
    take: list[Account]

    @property
    def shown(self) -> str:
        """The change in the words of people."""
        words = [f"{_shown(account)} {words_of(grant)}" for account, grant in self.give]
        words += [f"nothing more for {account_key(account)}" for account in self.take]
        return "; ".join(words)


@dataclass(frozen=True, slots=True)
class GrantCommand:
    """One command of a change of grants."""

    item: Item
    account: tuple[int, int]  # the class, and a Node or a DBID
    grant: Grant | None  # None: it is taken away


def _shown(account: Node | None) -> str:
    return SYSTEM_WORD if account is None else account.shown


def place_of(node: Node) -> Place:
    return node.cls.id, node.dbid


def compared(item: Item, have: Grants) -> Regrant | None:
    """What makes the server's grants those that the files state; None: nothing."""
    assert item.grants is not None
    stated = {_key(account): grant for account, grant in item.grants.items()}
    give = [
        (account, grant)
        for account, grant in item.grants.items()
        if have.get(_key(account)) != grant
    ]
    take = [account for account in sorted(have) if account not in stated]
    return Regrant(item, give, take) if give or take else None


def compared_late(items: Iterable[Item], granted: Granted) -> list[Regrant]:
    """The same of objects all of which are there now, default folders of new tenants too."""
    ready = []
    for item in items:
        if item.is_default_folder and not item.node.dbid:
            _, _, owner, kind, _ = item.node.key
            item.node.dbid = granted.default_folder(owner.dbid, kind) or 0
        if item.node.dbid:
            ready.append(item)
    have = granted.own_grants([place_of(item.node) for item in ready])
    found = (compared(item, one) for item, one in zip(ready, have, strict=True))
    return [one for one in found if one is not None]


def _key(account: Node | None) -> Account:
    return SYSTEM if account is None else (account.cls.id, settle(account))


# ---------------------------------------------------------------------- order


def in_order(regrants: Sequence[Regrant]) -> list[Regrant]:
    """The order in which they have to be done."""
    owners = {one.item.node.key[2] for one in regrants if one.item.node.cls is FOLDER}
    return sorted(regrants, key=lambda one: _height(one.item.node, owners))


def commands_of(regrant: Regrant) -> Iterator[GrantCommand]:
    """The commands that make one."""
    for account, grant in regrant.give:
        key = SYSTEM if account is None else (account.cls.id, account)
        yield GrantCommand(regrant.item, key, grant)
    for taken in regrant.take:
        yield GrantCommand(regrant.item, taken, None)


def _height(node: Node, owners: set[Node]) -> int:
    """How far up an object stands: what contains others is higher than all of these."""
    if node.cls is TENANT:
        return 1 if node.dbid == ENVIRONMENT else 0
    if node.cls is FOLDER:
        owner = node.key[2]
        above = -1 if owner.cls is TENANT else _height(owner, owners)
        return above - len(node.key[4]) - 1
    return -(FOLDERS_DEEP_MAX + 2) * (2 if node in owners else 1 << 20)
