"""Finds which members of the server's lists are meant where a raw file states them without key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from csp.model.types import Attribute, Part
from csp.transfer.merging import settle
from csp.transfer.objects import Body, Item
from csp.transfer.problems import Problems


def find_members(item: Item, have: Body, problems: Problems) -> None:
    """Gives each member without key that of the one member on the server that is as it states."""
    for path, part, stated, there in _lists(item.node.cls.attributes, item.body, have):
        for index, member in enumerate(stated):
            lacking = [name for name in part.key if part.by_name[name].mandatory]
            lacking = [name for name in lacking if name not in member]
            if not lacking:
                continue
            found = [one for one in there if _is_as(one, settle(member))]
            if len(found) == 1:
                member |= {name: found[0][name] for name in lacking}
                continue
            rule = f"is missing, and {len(found)} members on the server are as this one is stated"
            where = f"{path}[{index}].{lacking[0]}"
            problems.add(item.file or "files", rule, object=item.shown, path=where)


def _lists(
    attributes: Iterable[Attribute], body: Body, have: Body, path: str = ""
) -> Iterator[tuple[str, Part, list[Body], list[Body]]]:
    """All stated lists of parts that have a key, with the server's."""
    for one in attributes:
        stated, part = body.get(one.name), one.part
        if part is None or not stated:
            continue
        there: Any = have.get(one.name)
        if one.type == "part":
            yield from _lists(part.attributes, stated, there or {}, f"{path}{one.name}.")
        elif part.key:
            yield f"{path}{one.name}", part, stated, there or []


def _is_as(member: Body, stated: Body) -> bool:
    return all(member.get(name) == value for name, value in stated.items())


def lists_of(
    attributes: Iterable[Attribute], body: Body, path: str = ""
) -> Iterator[tuple[str, Part | None, list[Any]]]:
    """All stated lists whose members are told apart: by a key, or as mere references."""
    for one in attributes:
        stated = body.get(one.name)
        if not stated:
            continue
        if one.type == "part" and one.part is not None:
            yield from lists_of(one.part.attributes, stated, f"{path}{one.name}.")
        elif one.type == "list" and (one.part is None or one.part.key):
            yield f"{path}{one.name}", one.part, stated
