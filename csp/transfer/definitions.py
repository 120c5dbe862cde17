"""Finds out which object each member of a file's sections defines, then reads it whole."""

# 1. All objects are known by key before any reference is read, so order does not matter.
# 2. What is wrong with one attribute does not hide what is wrong with another.

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from csp.model.types import WORD_OF_CLASS, ObjectClass
from csp.transfer.forms import FORMS, Form, no_text
from csp.transfer.naturals import NATURALS
from csp.transfer.objects import Item, Key, Node, Registry
from csp.transfer.problems import Problems
from csp.transfer.reading import RawObject
from csp.transfer.references import (
    DN,
    FOLDER,
    TENANT,
    Context,
    WrongValue,
    dn_key,
    folder_parts,
    key_of,
    member,
    read_own_folder,
    step,
    tenant_node,
    text,
)


class Definitions:
    """The objects that files define."""

    def __init__(
        self,
        problems: Problems,
        default_folders: dict[str, str],
        environment: str,
    ) -> None:
        self.problems = problems
        self.registry = Registry()
        self.items: list[Item] = []
        self._context = Context(self.registry)
        self._context.default_folders = default_folders
        self._environment = environment

    def define(self, raws: Iterable[RawObject]) -> None:
        """First pass: which objects there are."""
        for raw in raws:
            form = FORMS[raw.section]
            if (raw.escapes or raw.variables) and self._is_no_text(raw):
                continue
            try:
                key = self._key(form, raw.value)
            except WrongValue as problem:
                self._report(raw, "", problem)
                continue
            self._add(form.cls, key, raw)

    def _is_no_text(self, raw: RawObject) -> bool:
        found = list(no_text(raw.value))
        for problem in found:
            self._report(raw, "", problem)
        return bool(found)

    def convert(self) -> None:
        """Second pass: what each object is made of."""
        for item in self.items:
            raw = item.raw
            assert raw is not None
            self._read(FORMS[raw.section], item, raw)
            raw.value = {}  # not needed again

    # ------------------------------------------------------------------ first pass

    def _key(self, form: Form, value: dict[str, Any]) -> Key:
        context = self._context
        context.refs = []  # the second pass takes down what the object refers to
        if form.cls is FOLDER:
            kind = step("type", text, member(value, "type")).lower()
            word, owner, _, names = step("folder", folder_parts, member(value, "folder"), context)
            name = step("name", text, member(value, "name"))
            return (form.cls.id, word, owner, kind, (*names, name))
        natural = NATURALS[form.cls.name]
        if natural.group:
            value = member(value, natural.group)
            if not isinstance(value, dict):
                raise WrongValue("an object is expected", natural.group)
        context.tenant = None
        if natural.in_tenant or "tenant" in value:
            context.tenant = tenant_node(step("tenant", text, member(value, "tenant")), context)
        key = key_of(natural, value, context)
        if form.cls is DN:
            _, switch, number, kind = key
            return dn_key(switch, number, kind, value.get("name"))
        return key

    def _add(self, cls: ObjectClass, key: Key, raw: RawObject) -> None:
        node = self.registry.refer(cls, key)
        if node.item is not None:
            first = node.item.raw
            assert first is not None
            physical = raw.value.get("physicalSwitch")
            if raw.section == "switches" and first.value.get("physicalSwitch") != physical:
                # Of one name but on another physical switch: another object.
                known = self.registry.ambiguous.get(key, 1)
                self.registry.ambiguous[key] = known + 1
                key = (*key, text(physical))
                node = self.registry.refer(cls, key)
        if node.item is not None:
            first = node.item.raw
            assert first is not None
            where = "" if first.file == raw.file else f"{first.file}, "
            rule = f"the same object as {where}{first.section}[{first.index}] (line {first.line})"
            self._report(raw, "", WrongValue(rule), shown=node.shown)
            return
        node.item = Item(node, raw)
        self.items.append(node.item)

    # ------------------------------------------------------------------ second pass

    def _read(self, form: Form, item: Item, raw: RawObject) -> None:
        context = self._context
        context.refs = item.refs
        context.tenant = _tenant_of(item.node) or tenant_node(self._environment, context)
        context.content = WORD_OF_CLASS[item.node.cls.name]

        def report(attribute: str, problem: WrongValue) -> None:
            self._report(raw, attribute, problem, shown=item.node.shown)

        if raw.section == "folders":
            self._place_folder(item, raw, report)
            rest = {name: part for name, part in raw.value.items() if name != "folder"}
            item.body |= form.read(rest, context, report)
        else:
            item.body = form.read(raw.value, context, report)

    def _place_folder(self, item: Item, raw: RawObject, report: Any) -> None:
        try:
            word, owner, _, names = folder_parts(raw.value["folder"], self._context)
            if names:
                self._context.content = item.node.key[3]
                item.body["folderDBID"] = read_own_folder(raw.value["folder"], self._context)
            item.body["ownerID"] = {"type": word, "DBID": owner}
            item.refs.append(owner)
        except WrongValue as problem:
            report("folder", problem)

    def _report(
        self, raw: RawObject, attribute: str, problem: WrongValue, *, shown: str = ""
    ) -> None:
        path = problem.within(attribute).path if attribute else problem.path
        where = f"{raw.section}[{raw.index}] (line {raw.line})"
        self.problems.add(raw.file, problem.rule, object=f"{where} {shown}".rstrip(), path=path)


def _tenant_of(node: Node) -> Node | None:
    """The tenant in which an object's references are read; None: it belongs to none."""
    scope = node.key[1]
    if node.cls is FOLDER or not isinstance(scope, Node):
        return None
    return scope if scope.cls is TENANT else _tenant_of(scope)
