"""The objects that an import speaks of: those the files define and those they only refer to."""

# 1. One object, one Node, whether defined, referred to, or both.
# 2. A Node is an int, so that an object's body can hold it where a DBID goes, and no two are equal.
# 3. A Node has a DBID once the server has the object; before that it is created at a position of
#    a transaction.

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from csp.model.rights import Grant
from csp.model.types import Attribute, ObjectClass
from csp.transfer.reading import RawObject

Body = dict[str, Any]
Key = tuple[Any, ...]  # class number, then scope Nodes and names

SERIAL_FIRST = 1 << 40  # beyond every DBID, so that a Node is never taken for one


class Node(int):
    """One object; its value as an int is a serial number, of no meaning."""

    cls: ObjectClass
    key: Key
    dbid: int  # 0: the server has none yet
    item: Item | None  # what the files say of it
    transaction: int  # which transaction creates it, from 1; 0: none does
    position: int  # k of "@k" in it

    @property
    def is_named(self) -> bool:
        """Whether it is known which object this is."""
        return len(self.key) > 1

    @property
    def shown(self) -> str:
        """How people name it."""
        names = " ".join(repr(part) for part in self.key[1:] if isinstance(part, str))
        scopes = [part.shown for part in self.key[1:] if isinstance(part, Node)]
        if isinstance(self.key[-1], tuple):  # a folder's path
            path = f" {'/'.join(self.key[-1])!r}" if self.key[-1] else ", the default folder"
            names = f"{self.key[-2]}{path}"
        return f"{self.cls.name} {names}" + "".join(f" of {scope}" for scope in scopes)


# By account: the rights. None stands for SYSTEM.
StatedGrants = dict[Node | None, Grant]


@dataclass(slots=True)
class Item:
    """One object as the files, or a rule for missing ones, define it."""

    node: Node
    raw: RawObject | None
    body: Body = field(default_factory=dict)  # in the model's form, with Nodes as references
    refs: list[Node] = field(default_factory=list)
    note: str = ""  # why it is there, if no file defines it
    physical: str | None = None  # of a switch: its physical switch's name, as the file has it
    wrong: set[str] = field(default_factory=set)  # attributes in which something is wrong
    by_dbid: bool = False  # its file is of the raw form: attributes by their published names
    grants: StatedGrants | None = None  # all that the object shall have of its own; None: unstated

    @property
    def shown(self) -> str:
        if self.raw is None:
            return self.node.shown
        return f"{self.raw.section}[{self.raw.index}] (line {self.raw.line}) {self.node.shown}"

    def spelled(self, attribute: Attribute) -> str:
        """The attribute's name as the object's file has it."""
        return attribute.name if self.by_dbid else attribute.mutagen

    @property
    def is_default_folder(self) -> bool:
        """Whether it is a default folder, which the server makes: only its grants are stated."""
        return isinstance(self.node.key[-1], tuple) and not self.node.key[-1]

    @property
    def file(self) -> str:
        return self.raw.file if self.raw is not None else ""


class Registry:
    """All Nodes by key."""

    def __init__(self) -> None:
        self.nodes: dict[Key, Node] = {}
        self.ambiguous: dict[Key, int] = {}  # keys that name several objects, and how many
        self._serial = count(SERIAL_FIRST)

    def refer(self, cls: ObjectClass, key: Key) -> Node:
        """The Node of that key, made if need be."""
        node = self.nodes.get(key)
        if node is None:
            node = self.nodes[key] = self.nameless(cls, key)
        return node

    def nameless(self, cls: ObjectClass, key: Key = ()) -> Node:
        """A Node that no key leads to: for an object whose own key is wrong."""
        node = Node(next(self._serial))
        node.cls = cls
        node.key = key or (cls.id,)
        node.dbid = node.transaction = node.position = 0
        node.item = None
        return node
