"""Makes the delta that leads from one version of an object to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csp.model.extract import Object
from csp.model.types import Attribute, ObjectClass, Part
from csp.model.values import member_key

Delta = dict[str, Any]


def make_delta(cls: ObjectClass, old: Object, new: Object) -> Delta:
    """The delta from `old` to `new`; revisions aside. Empty where nothing differs."""
    delta: Delta = {"changed": {}, "added": {}, "deleted": {}}
    if old.get("folderDBID") != new.get("folderDBID"):
        delta["changed"]["folderDBID"] = new.get("folderDBID", 0)
    differing = {name for name, value in new.items() if old.get(name) is not value}
    if old.keys() != new.keys():
        differing.update(old.keys() - new.keys())
    differing.discard("revision")
    if len(differing) > 1:
        attributes = [one for one in cls.attributes if one.name in differing]
    else:
        attributes = [cls.by_name[name] for name in differing if name in cls.by_name]
    for one in attributes:
        before, after = old.get(one.name), new.get(one.name)
        if before != after:
            _compare(one, one.name, before, after, delta)
    return {verb: value for verb, value in delta.items() if value}


def _compare(one: Attribute, path: str, before: Any, after: Any, delta: Delta) -> None:
    if one.type == "kvlist":
        found = _kvlist(before or {}, after or {})
        if found:
            delta[path] = found
    elif one.type == "list":
        _list(one.part, path, before or [], after or [], delta)
    elif one.type == "part" and after is not None and one.part is not None:
        if before is None:
            # Made even where nothing inside is stated.
            delta["changed"][path] = {}
        for inner in one.part.attributes:
            left, right = (before or {}).get(inner.name), after.get(inner.name)
            if left is not right and left != right:
                _compare(inner, f"{path}.{inner.name}", left, right, delta)
    else:
        delta["changed"][path] = after


def _kvlist(before: Mapping[str, Any], after: Mapping[str, Any]) -> Delta:
    changed: dict[str, Any] = {}
    deleted: dict[str, Any] = {name: None for name in before if name not in after}
    for name, section in after.items():
        there = before.get(name)
        if there is None:
            changed[name] = section
            continue
        # A flag and a number compare equal in Python; no stored value is a flag.
        differing = {key: value for key, value in section.items() if there.get(key) != value}
        gone = [key for key in there if key not in section]
        if differing:
            changed[name] = differing
        if gone:
            deleted[name] = gone
    found = {"changed": changed, "deleted": deleted}
    return {verb: value for verb, value in found.items() if value}


def _list(part: Part | None, path: str, before: list[Any], after: list[Any], delta: Delta) -> None:
    """Members stay as long as the order allows; the others are deleted and added at the end."""
    keys = [_key(part, member) for member in before]
    positions = {key: index for index, key in enumerate(keys)}
    kept, last, first_added = set(), -1, len(after)
    for index, member in enumerate(after):
        key = _key(part, member)
        position = positions.get(key, -1)
        if position <= last:
            first_added = index
            break
        kept.add(key)
        last = position
    gone = [
        _named(part, member) for member, key in zip(before, keys, strict=True) if key not in kept
    ]
    if gone:
        delta["deleted"][path] = gone
    if after[first_added:]:
        delta["added"][path] = after[first_added:]
    if part is None:
        return
    merged = []
    for member in after[:first_added]:
        there = before[positions[_key(part, member)]]
        if there != member:
            merged.append(_merge(part, there, member))
    if merged:
        delta["changed"][path] = merged


def _key(part: Part | None, member: Any) -> Any:
    return member if part is None else member_key(part, member)


def _named(part: Part | None, member: Any) -> Any:
    """How `deleted` names a member: its DBID, its only key, or its keys."""
    if part is None:
        return member
    if len(part.key) == 1:
        return member.get(part.key[0], 0)
    return {name: member[name] for name in part.key if name in member}


def _merge(part: Part, there: Mapping[str, Any], member: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        name: value
        for name, value in member.items()
        if name in part.key or name not in there or there[name] != value
    }
    return found | {name: None for name in there if name not in member}
