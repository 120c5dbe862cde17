"""Gathers the objects that the files of an import define, whatever form each file has."""

from __future__ import annotations

from csp.model.types import ObjectClass
from csp.transfer.forms import no_text
from csp.transfer.objects import Item, Key, Node, Registry
from csp.transfer.problems import Problems
from csp.transfer.reading import RawObject
from csp.transfer.references import SWITCH, WrongValue


class Collection:
    """The objects found so far, and what was wrong with others."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.registry = Registry()
        self.items: list[Item] = []

    def is_text(self, raw: RawObject) -> bool:
        """Whether all strings are text; what is none is reported."""
        if not (raw.escapes or raw.variables):
            return True
        found = list(no_text(raw.value))
        for problem in found:
            self.report(raw, "", problem)
        return not found

    def add(self, cls: ObjectClass, key: Key, raw: RawObject, *, physical: str | None) -> Node:
        """The Node that the object is known by; its item is the object's own unless it is there
        twice.

        physical: where the object is a switch, its physical switch's name.
        """
        node = self.registry.refer(cls, key)
        if cls is SWITCH and node.item is not None and physical not in (None, node.item.physical):
            # Of one name but on another physical switch: another object.
            known = self.registry.ambiguous.get(key, 1)
            self.registry.ambiguous[key] = known + 1
            node = self.registry.refer(cls, (*key, physical))
        if node.item is None:
            node.item = Item(node, raw, physical=physical)
            self.items.append(node.item)
            return node
        first = node.item.raw
        assert first is not None
        where = "" if first.file == raw.file else f"{first.file}, "
        rule = f"the same object as {where}{first.section}[{first.index}] (line {first.line})"
        self.report(raw, "", WrongValue(rule), shown=node.shown)
        return node

    def report(
        self, raw: RawObject, attribute: str, problem: WrongValue, *, shown: str = ""
    ) -> None:
        """Takes down what is wrong with an object, or with one attribute of it."""
        path = problem.within(attribute).path if attribute else problem.path
        where = f"{raw.section}[{raw.index}] (line {raw.line})"
        self.problems.add(raw.file, problem.rule, object=f"{where} {shown}".rstrip(), path=path)
