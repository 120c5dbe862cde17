"""Objects that are referred to, but that neither the files nor the server have."""

# 1. Folders are always made.
# 2. Anything else only with --create-missing, and only where the reference says enough.
# 3. What is left is an error at each place that refers to it.

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from csp.model.types import CLASSES, ENVIRONMENT, WORD_OF_CLASS
from csp.transfer.granting import GRANTS
from csp.transfer.naturals import NATURALS
from csp.transfer.objects import Body, Item, Node, Registry
from csp.transfer.present import Present
from csp.transfer.problems import Problems
from csp.transfer.references import DEFAULT_FOLDERS, FOLDER, SWITCH, TENANT, TENANT_WORD
from csp.transfer.spelling import spelled

# Types of objects that have no tenant: their folders are Environment's.
OF_ENVIRONMENT = frozenset(WORD_OF_CLASS[cls.name] for cls in CLASSES.values() if cls.is_global)
GENERIC_SWITCH = "genericswitch"  # the published word for "no particular make"

# What a reference says, as a body.
Make = Callable[[Node], Body]


def _by_key(node: Node) -> Body:
    """The parts of the key, each where the class has it."""
    body: Body = {}
    for part, value in zip(NATURALS[node.cls.name].parts, node.key[1:], strict=False):
        outer, dot, inner = part.path.partition(".")
        if dot:
            body.setdefault(outer, {})[inner] = value
        else:
            body[outer] = value
    return body


MAKE: dict[str, Make] = {
    "CfgPhysicalSwitch": lambda node: _by_key(node) | {"type": GENERIC_SWITCH},
    "CfgAccessGroup": lambda node: _by_key(node) | {"type": "defaultgroup"},
    "CfgPerson": lambda node: _by_key(node) | {"userName": node.key[2]},
    "CfgDN": lambda node: _by_key(node) | ({"name": node.key[4]} if node.key[4] else {}),
}
NOT_ENOUGH = {
    "CfgApplication": "the reference does not say its prototype",
    "CfgAppPrototype": "the reference does not say its type",
    "CfgEnumerator": "the reference does not say its type and display name",
}


class Missing:
    """Fills the gaps of an import."""

    def __init__(
        self, registry: Registry, items: list[Item], present: Present, *, create: bool
    ) -> None:
        self.registry = registry
        self.items = items
        self.present = present
        self.create = create
        self.unresolved: dict[Node, str] = {}  # and why

    def fill(self, problems: Problems) -> None:
        """Adds items for what can be made; reports every reference to what can't."""
        for item in list(self.items):
            for node in item.refs:
                self._need(node)
        for item in self.items:
            if item.is_default_folder:
                self._check_default_folder(item, problems)
        if self.unresolved:
            self._report(problems)

    def _need(self, node: Node) -> bool:
        """Whether the object is there, or will be."""
        if node.dbid or node.item is not None:
            return True
        if node in self.unresolved:
            return False
        if node.cls is FOLDER:
            return self._make_folder(node)
        lacking = NOT_ENOUGH.get(node.cls.name)
        if lacking or not self.create:
            why = f"there is no {node.shown} in the files or on the server"
            if lacking and self.create:
                why += f", and it can't be made: {lacking}"
            self.unresolved[node] = why
            return False
        scopes = [part for part in node.key if isinstance(part, Node)]
        if not all(self._need(scope) for scope in scopes):
            lost = next(scope for scope in scopes if scope in self.unresolved)
            self.unresolved[node] = self.unresolved[lost]
            return False
        body = MAKE.get(node.cls.name, _by_key)(node)
        self._add(node, body, scopes, "only referred to")
        if node.cls is SWITCH and node.item is not None:
            self._add_physical(node, node.item)
        return True

    def _add(self, node: Node, body: Body, refs: list[Node], note: str) -> None:
        node.item = Item(node, None, body, list(refs), note)
        self.items.append(node.item)

    def _add_physical(self, node: Node, item: Item) -> None:
        """A reference to a switch does not name its physical switch: one of the same name."""
        cls = CLASSES["CfgPhysicalSwitch"]
        physical = self.registry.refer(cls, (cls.id, node.key[2]))
        if not physical.dbid and physical.item is None:
            body = {"name": node.key[2], "type": GENERIC_SWITCH}
            self._add(physical, body, [], f"for {node.shown}, whose own is not stated")
        item.body["physSwitchDBID"] = physical
        item.refs.append(physical)

    # ------------------------------------------------------------------ folders

    def _make_folder(self, node: Node) -> bool:
        """Makes a folder, those that it lies in before it."""
        number, word, owner, kind, names = node.key
        if not self._need(owner):
            self.unresolved[node] = self.unresolved[owner]
            return False
        lacking = self._why_no_folders(word, owner, kind)
        if lacking:
            self.unresolved[node] = lacking
            return False
        above: Node | None = None
        for size in range(1, len(names) + 1):
            one = self.registry.refer(FOLDER, (number, word, owner, kind, names[:size]))
            if not one.dbid and one.item is None:
                self._add_folder(one, above)
            above = one
        if not names and owner.dbid:  # a new owner gets its default folder from the server
            self.unresolved[node] = f"{owner.shown} has no default folder of type {kind!r}"
        return bool(names or not owner.dbid)

    def _why_no_folders(self, word: str, owner: Node, kind: str) -> str:
        if kind in OF_ENVIRONMENT and word == TENANT_WORD and owner.dbid != ENVIRONMENT:
            of = self.present.environment() or f"{TENANT.name}:{ENVIRONMENT}"
            return f"folders of type {kind!r} belong to the tenant {of}"
        return ""

    def _add_folder(self, node: Node, above: Node | None) -> None:
        _, word, owner, kind, names = node.key
        body: Body = {"name": names[-1], "type": kind, "ownerID": {"type": word, "DBID": owner}}
        refs = [owner]
        if above is not None:
            body["folderDBID"] = above
            refs.append(above)
        elif self.present.stands_alone(word, kind):
            body["folderDBID"] = 0  # there is no default folder to put it into
        self._add(node, body, refs, "missing folder")

    def _check_default_folder(self, item: Item, problems: Problems) -> None:
        """Reports one that the server neither has nor makes with its tenant."""
        owner, kind = item.node.key[2], item.node.key[3]
        comes = not owner.dbid and kind in DEFAULT_FOLDERS and kind not in OF_ENVIRONMENT
        if not item.node.dbid and not comes:
            rule = f"{owner.shown} has no default folder of type {kind!r}"
            problems.add(item.file or "files", rule, object=item.shown, path="type")

    # ------------------------------------------------------------------ errors

    def _report(self, problems: Problems) -> None:
        for item in self.items:
            for node in item.refs:
                if node in self.unresolved:
                    path = spelled(item, next(paths_to(node, _stated(item)), ""))
                    file = item.file or "files"
                    rule = self.unresolved[node]
                    problems.add(file, rule, object=item.shown, path=path)


def _stated(item: Item) -> Body:
    """What an item states, its grants too."""
    return item.body | {GRANTS: list(item.grants or ())}


def paths_to(node: Node, value: Any, path: str = "") -> Iterator[str]:
    """Where in a body a Node stands."""
    if value is node:
        yield path
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from paths_to(node, member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from paths_to(node, member, f"{path}[{index}]")
