"""Compares what files define with what the server holds, and says what is to be done."""

# 1. Nothing is planned twice, and nothing for an object that is as the files say.
# 2. Rules that can be checked here are checked before anything is written.

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from csp.model.difference import make_delta
from csp.model.types import CLASSES
from csp.transfer.members import find_members, lists_of
from csp.transfer.merging import key_of_member, merged, settle
from csp.transfer.objects import Body, Item, Node
from csp.transfer.present import Present
from csp.transfer.problems import Problems
from csp.transfer.references import FOLDER
from csp.transfer.spelling import spelled

Delta = dict[str, Any]
MANDATORY = {
    cls.name: tuple(one for one in cls.attributes if one.mandatory) for cls in CLASSES.values()
}


@dataclass(slots=True)
class Update:
    """A change of an object that the server has."""

    item: Item
    delta: Delta

    @property
    def paths(self) -> list[str]:
        """What it changes."""
        found: list[str] = []
        for verb, change in self.delta.items():
            found += change if verb in ("changed", "added", "deleted") else [verb]
        return sorted(set(found))


@dataclass(slots=True)
class Plan:
    """What an import will do."""

    creates: list[Item] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    unchanged: int = 0
    # So many commands do it, as a rehearsal found: an object may take a create and an update.
    commands: int = 0

    @property
    def count(self) -> int:
        return len(self.creates) + len(self.updates)

    def totals(self) -> dict[str, dict[str, int]]:
        """Creates and updates by class."""
        created = Counter(item.node.cls.name for item in self.creates)
        updated = Counter(update.item.node.cls.name for update in self.updates)
        names = sorted(created | updated)
        return {name: {"create": created[name], "update": updated[name]} for name in names}


def make_plan(items: list[Item], present: Present, problems: Problems) -> Plan:
    """The plan; rules that are broken go to problems."""
    plan = Plan()
    taken: dict[tuple[Any, ...], Item] = {}
    for item in items:
        node = item.node
        _settle_folder(item, present)
        if item.by_dbid:
            find_members(item, present.objects.get(node, {}), problems)
        _check_twice(item, problems)
        _check_unique(item, taken, problems)
        if not node.dbid:
            _check_mandatory(item, problems)
            plan.creates.append(item)
            continue
        delta = _difference(item, present.objects[node], problems)
        if delta:
            plan.updates.append(Update(item, delta))
        else:
            plan.unchanged += 1
    return plan


def _settle_folder(item: Item, present: Present) -> None:
    body = item.body
    if item.node.cls is FOLDER:
        _, word, _, kind, _ = item.node.key
        if "folderDBID" not in body and present.stands_alone(word, kind):
            body["folderDBID"] = 0  # there is no default folder to put it into
        return
    folder = body.get("folderDBID")
    if isinstance(folder, Node) and not folder.dbid and folder.item is None:
        del body["folderDBID"]  # the default folder, which the server makes with its owner


def _difference(item: Item, have: Body, problems: Problems) -> Delta:
    cls = item.node.cls
    new = merged(cls, have, item.body)
    if new == have:
        return {}
    for attribute in cls.attributes:
        stated = new.get(attribute.name)
        if attribute.fixed and stated != have.get(attribute.name):
            rule = f"is fixed at creation: the server has {have.get(attribute.name)!r}"
            _report(item, problems, item.spelled(attribute), rule)
            return {}
    return make_delta(cls, have, new)


def _check_mandatory(item: Item, problems: Problems) -> None:
    body = item.body
    for one in MANDATORY[item.node.cls.name]:
        if item.spelled(one) in item.wrong:
            continue
        if body.get(one.name) in (None, "", {}, 0):
            rule = "is mandatory, and the server has no such object yet"
            _report(item, problems, item.spelled(one), rule)


def _check_twice(item: Item, problems: Problems) -> None:
    """No list may name a member twice: it would not be told which one counts."""
    for path, part, members in lists_of(item.node.cls.attributes, item.body):
        seen: set[Any] = set()
        for index, member in enumerate(members):
            key = settle(member) if part is None else key_of_member(part, settle(member))
            if key in seen:
                where = spelled(item, f"{path}[{index}]")
                _report(item, problems, where, "is there twice: the same member stands before it")
            seen.add(key)


def _check_unique(item: Item, taken: dict[tuple[Any, ...], Item], problems: Problems) -> None:
    """Two objects of the files must not claim one unique value."""
    cls = item.node.cls
    for rule in cls.unique:
        if rule.unless or rule.when or rule.zero:
            continue  # told apart by the object's own key
        values = tuple(_value_at(item.body, path) for path in rule.of)
        if any(value is None or value == "" for value in values):
            continue
        first = taken.setdefault((cls.id, rule.rule, *values), item)
        if first is not item:
            problem = f"the {rule.rule} is taken by {first.shown} of {first.file}"
            _report(item, problems, _shown_path(item, rule.of[0]), problem)


def _value_at(body: Body, path: str) -> Any:
    value: Any = body
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return settle(value)


def _shown_path(item: Item, path: str) -> str:
    return spelled(item, path)


def _report(item: Item, problems: Problems, path: str, rule: str) -> None:
    problems.add(item.file or "files", rule, object=item.shown, path=path)
