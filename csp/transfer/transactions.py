"""Cuts a plan into transactions, and encodes the commands of one."""

# 1. Up to COMMANDS_MAX commands and BYTES_MAX bytes are one transaction: all or nothing.
# 2. Beyond that, an object is created in no earlier transaction than what its fixed and mandatory
#    attributes refer to; other attributes that refer to later objects follow as updates.
# 3. The id of a transaction is a digest of its commands and of the revision it was planned at.

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from csp.model.difference import make_delta
from csp.model.types import ObjectClass
from csp.resp import request
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


@dataclass(slots=True)
class Transaction:
    """Commands that are done together or not at all."""

    number: int  # from 1
    commands: list[Item | Update]
    encoded: list[bytes]
    write_id: str


class TooLarge(Exception):
    """One object alone is larger than a transaction may be, or belongs into one with too many."""

    def __init__(self, command: Item | Update, rule: str) -> None:
        self.item = command if isinstance(command, Item) else command.item
        self.rule = rule
        super().__init__(f"{self.item.shown}: {rule}")


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

    def __init__(self, plan: Plan, revision: int) -> None:
        self.plan = plan
        self.revision = revision
        self.late: list[tuple[Item, Body]] = []  # creates that had to leave something out
        self._number = 0

    def transactions(self) -> Iterator[Transaction]:
        """Each must be done (Nodes have their DBIDs) before the next is asked for."""
        plan = self.plan
        if plan.count <= COMMANDS_MAX:
            whole = self._encode([*plan.creates, *plan.updates])
            if whole is not None:
                if whole.commands:
                    yield whole
                return
        yield from self._batches(in_order(plan.creates))
        yield from self._batches([*plan.updates, *map(_rest, self.late)])

    def _batches(self, commands: list[Item] | list[Update]) -> Iterator[Transaction]:
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

    def _encode(self, commands: list[Item | Update]) -> Transaction | None:
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
        command: Item | Update,
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
        body = command.body
        cls = command.node.cls
        try:
            data = orjson.dumps(body, name, orjson.OPT_PASSTHROUGH_SUBCLASS)
        except orjson.JSONEncodeError:  # what orjson makes of a NotYet
            kept = _without_later(command, number)
            late.append((command, kept))
            data = orjson.dumps(kept, name, orjson.OPT_PASSTHROUGH_SUBCLASS)
        return request("CFG.CREATE", cls.name, data, *tail)


def _batch_size(first: Item | Update) -> int:
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
