"""Applies deltas to objects, and makes the delta that leads from one object to another.

1. `apply_delta(cls, old, make_delta(cls, old, new)).object` is `new`, but for the revision.
2. Inside one delta, what is deleted goes first, then what is changed, then what is added (at the
   end of its list).
3. A part under `changed` is merged; a member of a keyed list is merged by its key; nothing is ever
   replaced as a whole.
4. A stated 0 or "" is a value; what is absent is unchanged; null takes an optional attribute away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from csp.errors import BadValue, Immutable, Mandatory, Unique
from csp.model.difference import make_delta
from csp.model.extract import Object, value_at
from csp.model.objects import check_secret, check_whole, ordered
from csp.model.types import CLASSES, Attribute, ObjectClass, Part
from csp.model.values import (
    Check,
    Context,
    check_kvlist,
    check_mandatory,
    check_of,
    check_ref,
    key_text,
    member_key,
    shown,
)

VERBS = frozenset(("changed", "added", "deleted"))
ANNEX = "userProperties"


class Applied(NamedTuple):
    """The object after a delta, and the secrets that the delta sets."""

    object: Object
    secrets: dict[str, str]


class Step(NamedTuple):
    """An attribute that a path names, with what is above it."""

    attribute: Attribute
    check: Check
    # An attribute on the way is fixed or derived.
    fixed: str


def _steps(attributes: tuple[Attribute, ...], prefix: str, fixed: str) -> dict[str, Step]:
    found = {}
    for one in attributes:
        path = prefix + one.name
        why = fixed or ("derived" if one.derived else "fixed" if one.fixed else "")
        found[path] = Step(one, check_of(one), why)
        if one.type == "part" and one.part is not None:
            found |= _steps(one.part.attributes, path + ".", why)
    return found


def _lists_in(steps: dict[str, Step]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for path, step in steps.items():
        if step.attribute.type in ("list", "kvlist"):
            before, _, last = path.rpartition(".")
            found.setdefault(path.partition(".")[0], []).append((before, last))
    return found


# Every path of every class, through parts.
PATHS: dict[str, dict[str, Step]] = {
    cls.name: _steps(cls.attributes, "", "") for cls in CLASSES.values()
}
_MEMBER_CHECKS: dict[str, dict[str, Check]] = {
    step.attribute.part.name: {one.name: check_of(one) for one in step.attribute.part.attributes}
    for steps in PATHS.values()
    for step in steps.values()
    if step.attribute.type == "list" and step.attribute.part is not None
}


# What a delta may leave out of its form, by the attribute of the object that holds it: lists
# (above and name), and of a part its attributes.
_LISTS: dict[str, dict[str, list[tuple[str, str]]]] = {
    name: _lists_in(steps) for name, steps in PATHS.items()
}
_PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    cls.name: {
        one.name: tuple(one.part.by_name)
        for one in cls.attributes
        if one.type == "part" and one.part is not None
    }
    for cls in CLASSES.values()
}


def _step(cls: ObjectClass, path: str) -> Step:
    step = PATHS[cls.name].get(path)
    if step is None:
        raise BadValue(f"{cls.name} has no attribute {shown(path)}")
    return step


def _container(obj: Object, path: str) -> tuple[Object, str]:
    """The (made, if absent) part that holds the last step of a path, and that step."""
    *steps, last = path.split(".")
    for step in steps:
        obj = obj.setdefault(step, {})
    return obj, last


def _check_delta(cls: ObjectClass, delta: Any) -> dict[str, Any]:
    if not isinstance(delta, dict):
        raise BadValue(f"{shown(delta)} is not a delta, which is a JSON object")
    for name, value in delta.items():
        if name not in VERBS and name != ANNEX and name not in cls.kvlists:
            raise BadValue(f"a delta has no {shown(name)}: changed, added, deleted or a key list")
        if not isinstance(value, dict):
            raise BadValue(f"{name}: {shown(value)} is not a JSON object")
    return delta


def apply_delta(
    cls: ObjectClass,
    obj: Object,
    delta: Any,
    *,
    strict: bool = False,
    created: Mapping[int, int] | None = None,
    warnings: list[str] | None = None,
) -> Applied:
    """The object that a delta makes of `obj`, which stays as it is.

    Both share the attributes that the delta does not name: nobody changes inside what is stored.
    """
    _check_delta(cls, delta)
    context = Context(strict, created, [] if warnings is None else warnings)
    named = _named(cls, delta)
    new: Object = dict(obj)
    for name in named:
        if name in obj:
            new[name] = orjson.loads(orjson.dumps(obj[name]))
    secrets: dict[str, str] = {}
    for path, keys in delta.get("deleted", {}).items():
        _delete_members(cls, new, path, keys, context)
    for path, value in delta.get("changed", {}).items():
        if path in cls.secrets:
            secrets[path] = check_secret(cls, path, value)
        else:
            _change(cls, new, path, value, context)
    for path, members in delta.get("added", {}).items():
        _add_members(cls, new, path, members, context)
    for name, lists in delta.items():
        if name not in VERBS:
            _change_kvlist(new, _kvlist_path(cls, name), lists, context)
    _check_fixed_while(cls, obj, new)
    new = _tidy(cls, new, named)
    check_whole(cls, new)
    return Applied(new, secrets)


def _named(cls: ObjectClass, delta: Mapping[str, Any]) -> set[str]:
    """The attributes of the object in which the delta changes something."""
    found = {path.partition(".")[0] for verb in VERBS if verb in delta for path in delta[verb]}
    for name in delta:
        if name not in VERBS:
            found.add(_kvlist_path(cls, name).partition(".")[0])
    return found


def _kvlist_path(cls: ObjectClass, name: str) -> str:
    """Where a key list is; a group has its annex inside its groupInfo."""
    if name in cls.kvlists:
        return name
    return next(path for path in cls.kvlists if path.rpartition(".")[2] == ANNEX)


def _check_fixed_while(cls: ObjectClass, old: Object, new: Object) -> None:
    for path, members in cls.fixed_while.items():
        if value_at(old, path) != value_at(new, path) and value_at(old, members):
            raise Immutable(f"{cls.name}.{path} can't change while {members} has members")


def _tidy(cls: ObjectClass, obj: Object, named: set[str]) -> Object:
    """Canonical again where something was changed: table order, no empty lists."""
    lists, parts = _LISTS[cls.name], _PARTS[cls.name]
    for top in named:
        for before, last in lists.get(top, ()):
            holder = value_at(obj, before) or {} if before else obj
            if last in holder and not holder[last]:
                del holder[last]
        names, part = parts.get(top), obj.get(top)
        if names is not None and part is not None:
            obj[top] = {name: part[name] for name in names if name in part}
    return ordered(cls, obj)


# --- changed -------------------------------------------------------------------------------------


def _change_fixed_field(cls: ObjectClass, obj: Object, path: str, value: Any, c: Context) -> bool:
    if path == "folderDBID":
        obj[path] = check_ref(value, f"{cls.name}.{path}", c)
        return True
    if path in ("class", "DBID", "revision"):
        if obj.get(path) != value:
            raise Immutable(f"{cls.name}.{path} is given by the server")
        return True
    return False


def _change(cls: ObjectClass, obj: Object, path: str, value: Any, context: Context) -> None:
    if _change_fixed_field(cls, obj, path, value, context):
        return
    step = _step(cls, path)
    one, name = step.attribute, f"{cls.name}.{path}"
    if one.type == "kvlist":
        raise BadValue(f'{name}: state "{path}":{{"changed":{{section:{{key:value}}}}}} instead')
    if one.type == "part" and isinstance(value, dict):
        holder, last = _container(obj, path)
        holder.setdefault(last, {})
        for field, given in value.items():
            _change(cls, obj, f"{path}.{field}", given, context)
        return
    if step.fixed:
        _refuse_fixed(step, obj, path, value, name, context)
        return
    if value is None:
        _take_away(one, obj, path, name)
        return
    if one.type == "list":
        _change_members(one, obj, path, value, name, context)
        return
    checked = step.check(value, name, context)
    holder, last = _container(obj, path)
    holder[last] = checked


def _refuse_fixed(
    step: Step, obj: Object, path: str, value: Any, name: str, context: Context
) -> None:
    """Stating what is there already is no change."""
    now = value_at(obj, path)
    if value is None or step.check(value, name, context) != now:
        why = f"follows {step.attribute.derived}" if step.fixed == "derived" else "is fixed"
        raise Immutable(f"{name} {why}: it stays {shown(now)}")


def _take_away(one: Attribute, obj: Object, path: str, name: str) -> None:
    if one.mandatory or one.default is not None:
        raise Mandatory(f"{name} is mandatory")
    before, _, last = path.rpartition(".")
    holder = value_at(obj, before) if before else obj
    if holder:
        holder.pop(last, None)


def _part_of(one: Attribute, name: str) -> Part:
    if one.part is None or not one.part.key:
        raise BadValue(f"{name}: members of this list are added or deleted, not changed")
    return one.part


def _change_members(
    one: Attribute, obj: Object, path: str, value: Any, name: str, context: Context
) -> None:
    part = _part_of(one, name)
    if not isinstance(value, list):
        raise BadValue(f"{name}: {shown(value)} is not a list")
    checks = _MEMBER_CHECKS[part.name]
    there = {member_key(part, member): member for member in value_at(obj, path) or ()}
    for given in value:
        if not isinstance(given, dict):
            raise BadValue(
                f"{name}: {shown(given)} is not a member: state its key and what changes"
            )
        key = _key_of(part, given, name, context)
        member = there.get(key)
        if member is None:
            raise BadValue(f"{name}: {key_text(part, key)} is not there")
        for field, new in given.items():
            if field not in checks:
                raise BadValue(f"{name} has no attribute {shown(field)}")
            if new is None:
                member.pop(field, None)
            else:
                member[field] = checks[field](new, f"{name}.{field}", context)
        check_mandatory(part, member, name)
        in_order = {field: member[field] for field in part.by_name if field in member}
        member.clear()
        member.update(in_order)


def _key_of(part: Part, given: Any, name: str, context: Context) -> tuple[Any, ...]:
    """The key that a member, or under `deleted` a key alone, states."""
    if not isinstance(given, dict):
        if len(part.key) != 1:
            raise BadValue(f"{name}: a member is named by {' and '.join(part.key)}")
        given = {part.key[0]: given}
    checks, found = _MEMBER_CHECKS[part.name], []
    for field in part.key:
        value = given.get(field)
        found.append(0 if value is None else checks[field](value, f"{name}.{field}", context) or 0)
    return tuple(found)


# --- added and deleted ---------------------------------------------------------------------------


def _list_step(cls: ObjectClass, path: str) -> tuple[Step, str]:
    step, name = _step(cls, path), f"{cls.name}.{path}"
    if step.attribute.type == "kvlist":
        raise BadValue(f'{name}: state "{path}":{{"changed":…,"deleted":…}} instead')
    if step.attribute.type != "list":
        raise BadValue(f"{name} is no list: it is changed")
    if step.fixed:
        raise Immutable(f"{name} is fixed")
    return step, name


def _add_members(cls: ObjectClass, obj: Object, path: str, value: Any, context: Context) -> None:
    step, name = _list_step(cls, path)
    members = step.check(value, name, context)
    if not members:
        return
    holder, last = _container(obj, path)
    found = holder.setdefault(last, [])
    part = step.attribute.part
    if part is None:
        there = set(found)
        found += [one for one in members if one not in there]
        return
    keys = {member_key(part, member) for member in found}
    for member in members:
        key = member_key(part, member)
        if key in keys:
            raise Unique(f"{name}: {key_text(part, key)} is there already")
        found.append(member)


def _delete_members(cls: ObjectClass, obj: Object, path: str, value: Any, c: Context) -> None:
    step, name = _list_step(cls, path)
    if not isinstance(value, list):
        raise BadValue(f"{name}: {shown(value)} is not a list of keys")
    found = value_at(obj, path) or []
    part = step.attribute.part
    for given in value:
        if part is None:
            dbid = check_ref(given, name, c)
            if dbid not in found:
                raise BadValue(f"{name}: {dbid} is not there")
            found.remove(dbid)
            continue
        key = _key_of(part, given, name, c)
        member = next((one for one in found if member_key(part, one) == key), None)
        if member is None:
            raise BadValue(f"{name}: {key_text(part, key)} is not there")
        found.remove(member)


# --- annex and options ---------------------------------------------------------------------------


def _change_kvlist(obj: Object, path: str, lists: Mapping[str, Any], context: Context) -> None:
    for verb, value in lists.items():
        if verb not in ("changed", "deleted") or not isinstance(value, dict):
            raise BadValue(f'{path}: {shown(verb)} is neither "changed" nor "deleted" of sections')
    holder, last = _container(obj, path)
    sections = holder.setdefault(last, {})
    for name, keys in lists.get("deleted", {}).items():
        _delete_keys(sections, path, name, keys)
    for name, section in lists.get("changed", {}).items():
        if section is None or section == []:
            _delete_keys(sections, path, name, None)
            continue
        checked = check_kvlist({name: section}, path, context)[name]
        sections.setdefault(name, {}).update(checked)


def _delete_keys(sections: dict[str, Any], path: str, name: str, keys: Any) -> None:
    if name not in sections:
        raise BadValue(f"{path}: section {shown(name)} is not there")
    if keys is None or keys == [] or keys == {}:
        del sections[name]
        return
    if not isinstance(keys, list | dict):
        raise BadValue(f"{path}.{name}: {shown(keys)} is neither null nor a list of keys")
    for key in keys:
        if not isinstance(key, str) or key not in sections[name]:
            raise BadValue(f"{path}.{name}: key {shown(key)} is not there")
        del sections[name][key]


__all__ = ["Applied", "apply_delta", "make_delta"]
