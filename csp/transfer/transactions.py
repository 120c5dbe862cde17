"""Cuts a plan into transactions, and encodes the commands of one."""

# 1. Up to COMMANDS_MAX commands and BYTES_MAX bytes are one transaction: all or nothing.
# 2. Beyond that, an object is created in no earlier transaction than what its fixed and mandatory
#    attributes refer to; other attributes that refer to later objects follow as updates.
# 3. Grants come last: where all is one transaction and no tenant is new, in it, else after the
#    objects.
# 4. The id of a transaction is a digest of its commands and of the revision it was planned at.

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import orjson

from csp.model.difference import make_delta
from csp.model.rights import SYSTEM, SYSTEM_WORD, words_of
from csp.model.types import ObjectClass, by_id
from csp.resp import request
from csp.transfer.granting import GrantCommand, Granted, Regrant, commands_of, compared_late
from csp.transfer.granting import in_order as grants_in_order
from csp.transfer.merging import settle
from csp.transfer.naturals import IN_ORDER_OF_SCOPES
from csp.transfer.objects import Body, Item, Node
from csp.transfer.plan import Plan, Update

COMMANDS_MAX = 10_000  # what a server takes in one transaction
BYTES_MAX = 60 << 20  # a server takes 64 MiB of arguments
BATCH_COMMANDS = 100  # beyond one transaction: others' writes wait for each, some 40 ms
# What has to come together: a tenant without its default groups gets them by itself.
BATCH_COMMANDS_TENANTS = 2_500
TENANTS = frozenset(("CfgTenant", "CfgAccessGroup"))

# Those that many refer to first, so that fewer references wait for a second transaction.
WRITE_FIRST = (
    # A tenant's default groups must be stated with it, or it gets them by itself.
    "CfgTenant", "CfgAccessGroup", "CfgFolder", "CfgPhysicalSwitch", "CfgHost",
    "CfgAppPrototype", "CfgApplication", "CfgSwitch", "CfgSkill",
    "CfgScript", "CfgDN", "CfgAgentLogin", "CfgPlace", "CfgPerson",
)  # fmt: skip
WRITE_ORDER = {
    name: index
    for index, name in enumerate(
        (*WRITE_FIRST, *(name for name in IN_ORDER_OF_SCOPES if name not in WRITE_FIRST))
    )
}


Command = Item | Update | GrantCommand


@dataclass(slots=True)
class Transaction:
    """Commands that are done together or not at all."""

    number: int  # from 1
    commands: list[Command]
    encoded: list[bytes]
    write_id: str


class TooLarge(Exception):
    """One object alone is larger than a transaction may be, or belongs into one with too many."""

    def __init__(self, command: Command, rule: str) -> None:
        self.item = item_of(command)
        self.rule = rule
        super().__init__(f"{self.item.shown}: {rule}")


def item_of(command: Command) -> Item:
    """The object that a command is about."""
    return command if isinstance(command, Item) else command.item


def hard_attributes(cls: ObjectClass) -> frozenset[str]:
    """Attributes that must be right at creation."""
    return frozenset(one.name for one in cls.attributes if one.fixed or one.mandatory)


def nodes_in(value: Any) -> Iterator[Node]:
    if value.__class__ is Node:
        yield value
    elif value.__class__ is dict:
        for member in value.values():
            yield from nodes_in(member)
    elif value.__class__ is list:
        for member in value:
            yield from nodes_in(member)


class Cutter:
    """Makes the transactions of a plan, one after the other, as DBIDs become known."""

    def __init__(self, plan: Plan, revision: int, granted: Granted) -> None:
        self.plan = plan
        self.revision = revision
        self._granted = granted
        self.late: list[tuple[Item, Body]] = []  # creates that had to leave something out
        self._number = 0

    def transactions(self) -> Iterator[Transaction]:
        """Each must be done (Nodes have their DBIDs) before the next is asked for."""
        plan = self.plan
        grants = [] if plan.late else _commands(plan.regrants)
        whole = self._whole([*plan.creates, *plan.updates, *chain.from_iterable(grants)])
        if whole is not None:
            yield from whole
        else:
            yield from self._batches(in_order(plan.creates))
            yield from self._batches([*plan.updates, *map(_rest, self.late)])
            yield from self._grant_batches(grants)
        if plan.late:
            plan.regrants = compared_late(plan.late, self._granted)
            grants = _commands(plan.regrants)
            whole = self._whole([*chain.from_iterable(grants)])
            yield from self._grant_batches(grants) if whole is None else whole

    def _grant_batches(self, grants: list[list[GrantCommand]]) -> Iterator[Transaction]:
        """Transactions of grants; what changes on one object is not divided."""
        at = 0
        while at < len(grants):
            batch: list[Command] = [*grants[at]]
            at += 1
            while at < len(grants) and len(batch) + len(grants[at]) <= BATCH_COMMANDS:
                batch += grants[at]
                at += 1
            made = self._whole(batch)
            if made is None:
                raise TooLarge(batch[0], f"has more than {COMMANDS_MAX} grants to give or take")
            yield from made

    def _whole(self, commands: list[Command]) -> list[Transaction] | None:
        """All as one transaction, or none where there is nothing; None: it would be too large."""
        made = self._encode(commands) if len(commands) <= COMMANDS_MAX else None
        if made is None:
            return None
        return [made] if commands else []

    def _batches(self, commands: Sequence[Command]) -> Iterator[Transaction]:
        at = 0
        size = 0
        while at < len(commands):
            size = size or _batch_size(commands[at])
            made = self._encode(list(commands[at : at + size]))
            if made is None:
                if size == 1:
                    rule = f"has more than {BYTES_MAX} bytes as one command"
                    raise TooLarge(commands[at], rule)
                size = max(1, size // 2)
                continue
            at += size
            size = 0
            yield made

    def _encode(self, commands: list[Command]) -> Transaction | None:
        """The transaction; None if it would be too large."""
        number = self._number + 1
        for position, command in enumerate(commands, 1):
            if isinstance(command, Item):
                command.node.transaction = number
                command.node.position = position
        late: list[tuple[Item, Body]] = []
        encoded: list[bytes] = []
        digest = hashlib.blake2b(self.revision.to_bytes(8, "little"), digest_size=16)
        size = 0
        for command in commands:
            data = self._command(command, number, late)
            digest.update(data)
            encoded.append(data)
            size += len(data)
            if size > BYTES_MAX:
                for done in commands:
                    if isinstance(done, Item):
                        done.node.transaction = 0
                return None
        self._number = number
        self.late += late
        write_id = digest.hexdigest()
        if commands:
            # Any one command carries the id of the whole transaction.
            encoded[0] = self._command(commands[0], number, [], write_id)
        return Transaction(number, commands, encoded, write_id)

    def _command(
        self,
        command: Command,
        number: int,
        late: list[tuple[Item, Body]],
        write_id: str = "",
    ) -> bytes:
        def name(node: Any) -> int | str:
            return _name(node, number)

        tail = ("ID", write_id) if write_id else ()
        if isinstance(command, Update):
            node = command.item.node
            delta = orjson.dumps(command.delta, name, orjson.OPT_PASSTHROUGH_SUBCLASS)
            return request("CFG.UPDATE", node.cls.name, node.dbid, delta, *tail)
        if isinstance(command, GrantCommand):
            return _grant(command, number, tail)
        body = command.body
        cls = command.node.cls
        try:
            data = orjson.dumps(body, name, orjson.OPT_PASSTHROUGH_SUBCLASS)
        except orjson.JSONEncodeError:  # what orjson makes of a NotYet
            kept = _without_later(command, number)
            late.append((command, kept))
            data = orjson.dumps(kept, name, orjson.OPT_PASSTHROUGH_SUBCLASS)
        return request("CFG.CREATE", cls.name, data, *tail)


def _commands(regrants: list[Regrant]) -> list[list[GrantCommand]]:
    """The commands for each object, in order."""
    return [list(commands_of(one)) for one in grants_in_order(regrants)]


def _batch_size(first: Command) -> int:
    """How many commands go together that begin with this one."""
    if isinstance(first, Item) and first.node.cls.name in TENANTS:
        return BATCH_COMMANDS_TENANTS
    return BATCH_COMMANDS


def _rest(created: tuple[Item, Body]) -> Update:
    """What the create left out, now that the DBIDs are known."""
    item, kept = created
    return Update(item, make_delta(item.node.cls, settle(kept), settle(item.body)))


class NotYet(Exception):
    """The object is created in a later transaction."""


def _name(node: Any, number: int) -> int | str:
    """How a command refers to an object."""
    if node.__class__ is not Node:
        raise TypeError
    if node.dbid:
        return int(node.dbid)
    if node.transaction != number:
        raise NotYet(node.shown)
    return f"@{node.position}"


def _grant(command: GrantCommand, number: int, tail: tuple[str, ...]) -> bytes:
    """CFG.GRANT or CFG.REVOKE."""
    node, (account_class, account) = command.item.node, command.account
    key = f"{node.cls.name}:{_name(node, number)}"
    whom = SYSTEM_WORD
    if command.account != SYSTEM:
        named = _name(account, number) if isinstance(account, Node) else account
        whom = f"{by_id[account_class].name}:{named}"
    if command.grant is None:
        return request("CFG.REVOKE", key, whom, *tail)
    return request("CFG.GRANT", key, whom, words_of(command.grant), *tail)


def _without_later(item: Item, number: int) -> Body:
    kept: Body = {}
    hard = hard_attributes(item.node.cls)
    for name, value in item.body.items():
        later = [node for node in nodes_in(value) if not node.dbid and node.transaction != number]
        if not later:
            kept[name] = value
        elif name in hard:
            rule = f"{name} refers to {later[0].shown}, which refers back over more than one batch"
            raise TooLarge(item, rule)
    return kept


def in_order(items: list[Item]) -> list[Item]:
    """Scopes and other fixed references first, then by class."""
    hard = {name: frozenset[str]() for name in WRITE_ORDER}
    for item in items:
        cls = item.node.cls
        if not hard[cls.name]:
            hard[cls.name] = hard_attributes(cls)
    ordered: list[Item] = []
    seen: set[Node] = set()
    for item in sorted(items, key=lambda one: WRITE_ORDER[one.node.cls.name]):
        stack = [item]
        while stack:
            top = stack[-1]
            if top.node in seen:
                stack.pop()
                continue
            needed = _needed(top, hard[top.node.cls.name], seen, stack)
            if needed is None:
                seen.add(top.node)
                ordered.append(top)
                stack.pop()
            else:
                stack.append(needed)
    return ordered


def _needed(item: Item, hard: frozenset[str], seen: set[Node], stack: list[Item]) -> Item | None:
    for name in hard:
        for node in nodes_in(item.body.get(name)):
            if _waits_for(node, seen, stack):
                return node.item
    folder = item.body.get("folderDBID")
    if isinstance(folder, Node) and _waits_for(folder, seen, stack):
        return folder.item
    return None


def _waits_for(node: Node, seen: set[Node], stack: list[Item]) -> bool:
    return not (node.dbid or node.item is None or node in seen or node.item in stack)
