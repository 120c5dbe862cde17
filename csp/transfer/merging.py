"""Lays what a file states over what the server holds: what is not stated stays."""

# 1. A list that is stated replaces the list; its order does not matter.
# 2. Members of keyed lists, parts, sections and keys that are not stated stay as they are.

from __future__ import annotations

from typing import Any

from csp.model.types import Attribute, ObjectClass, Part
from csp.transfer.objects import Node

Object = dict[str, Any]


def settle(value: Any) -> Any:
    """A body's value with DBIDs in place of Nodes that have one."""
    if value.__class__ is Node:
        return value.dbid or value
    if value.__class__ is dict:
        return {name: settle(member) for name, member in value.items()}
    if value.__class__ is list:
        return [settle(member) for member in value]
    return value


def merged(cls: ObjectClass, have: Object, stated: Object) -> Object:
    """The server's object as it should be; the same values where nothing differs."""
    new = dict(have)
    for name, value in stated.items():
        if name == "folderDBID":
            new[name] = settle(value)
            continue
        attribute = cls.by_name[name]
        if not attribute.secret:
            _lay(attribute, new, settle(value))
    return new


def _lay(attribute: Attribute, new: Object, value: Any) -> None:
    have = new.get(attribute.name)
    if have is None and (value in ("", [], {}) or (attribute.type == "ref" and value == 0)):
        return  # an empty one is the same as none
    if attribute.type == "kvlist":
        value = _sections(have or {}, value)
    elif attribute.type == "part" and attribute.part is not None and isinstance(have, dict):
        value = _part(attribute.part, have, value)
    elif attribute.type == "list" and isinstance(have, list):
        value = _members(attribute.part, have, value)
    new[attribute.name] = value


def _part(part: Part, have: Object, value: Object) -> Object:
    if part.pair:
        return value
    new = dict(have)
    for name, member in value.items():
        _lay(part.by_name[name], new, member)
    return new


def _sections(have: Object, value: Object) -> Object:
    new = dict(have)
    for section, pairs in value.items():
        new[section] = {**have.get(section, {}), **pairs}
    return new


def _members(part: Part | None, have: list[Any], value: list[Any]) -> list[Any]:
    if part is None or not part.key:
        there = set(have)
        stated = set(value)
        return [one for one in have if one in stated] + [one for one in value if one not in there]
    by_key = {key_of_member(part, member): member for member in value}
    new = []
    for member in have:
        found = by_key.pop(key_of_member(part, member), None)
        if found is not None:
            new.append({**member, **found})
    return new + list(by_key.values())


def key_of_member(part: Part, member: Object) -> tuple[Any, ...]:
    """What tells a member of a list from others."""
    return tuple(member.get(name) or 0 for name in part.key)
