"""Compares what files define with what the server holds, and says what is to be done."""

# 1. Nothing is planned twice, and nothing for an object that is as the files say.
# 2. Grants are compared like all else, as far as the objects are there (granting.py).
# 3. Rules that can be checked here are checked before anything is written.

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from csp.errors import CspError
from csp.model.difference import make_delta
from csp.model.types import CLASSES
from csp.transfer.granting import GRANTS, Regrant, compared, place_of
from csp.transfer.members import find_members, lists_of
from csp.transfer.merging import key_of_member, merged, settle
from csp.transfer.objects import Body, Item, Node
from csp.transfer.present import Present
from csp.transfer.problems import Problems
from csp.transfer.references import FOLDER, TENANT
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
    regrants: list[Regrant] = field(default_factory=list)
    # Whose grants are compared only when all objects are there: all that are stated, or none.
    late: list[Item] = field(default_factory=list)
    # So many commands do it, as a rehearsal found: an object may take a create and an update.
    commands: int = 0

    @property
    def to_be_made(self) -> list[Item]:
        """What is not there before the plan is carried out."""
        return self.creates + [one for one in self.late if one.is_default_folder]

    @property
    def count(self) -> int:
        return len(self.creates) + len(self.updates) + len(self.regrants)

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
        if item.is_default_folder:
            plan.unchanged += 1
            continue  # the server makes it
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
    _plan_grants(plan, items, present, problems)
    return plan


def _plan_grants(plan: Plan, items: Iterable[Item], present: Present, problems: Problems) -> None:
    stated = [item for item in items if item.grants is not None]
    there = [item for item in stated if item.node.dbid]
    found = present.source.own_grants([place_of(item.node) for item in there]) if there else []
    for item, have in zip(there, found, strict=True):
        if isinstance(have, CspError):
            _report(item, problems, GRANTS, f"can't be compared: {have.text}")
        else:
            present.grants[place_of(item.node)] = have
    own = ((item, present.grants.get(place_of(item.node), {})) for item in stated)
    plan.regrants = [one for one in (compared(item, have) for item, have in own) if one]
    created = {item.node for item in plan.creates}
    changed = created | {update.item.node for update in plan.updates}
    plan.unchanged -= sum(one.item.node not in changed for one in plan.regrants)
    if any(node.cls is TENANT for node in created):
        plan.late = stated


def _settle_folder(item: Item, present: Present) -> None:
    body = item.body
    if item.node.cls is FOLDER:
        _, word, _, kind, _ = item.node.key
        if "folderDBID" not in body and present.stands_alone(word, kind):
            body["folderDBID"] = 0  # there is no default folder to put it into
        return
    folder = body.get("folderDBID")
    if not isinstance(folder, Node) or folder.dbid:
        return
    if folder.item is None or folder.item.is_default_folder:
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
