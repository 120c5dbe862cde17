"""Checks whole objects, completes them, and encodes them as JSON.

1. An object that passed `check_object` is canonical: attributes in table order, no nulls, no empty
   lists, no secrets.
2. Secrets leave the object here and are returned apart; nothing later can show them.
3. `complete` fills what comes from other objects (a DN's tenant) and refuses a stated value that
   differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from csp.errors import BadValue, Immutable, Mandatory, TooBig
from csp.model.extract import Lookup, Object, value_at
from csp.model.image import MAX_OBJECT, brief_of, canonical
from csp.model.types import CLASSES, Attribute, ObjectClass
from csp.model.values import (
    Check,
    Context,
    check_mandatory,
    check_of,
    check_ref,
    check_text,
    is_list,
    shown,
)


class Checked(NamedTuple):
    """A canonical object and the secrets that were stated with it."""

    object: Object
    secrets: dict[str, str]


CHECKS: dict[str, tuple[tuple[Attribute, Check], ...]] = {
    cls.name: tuple((one, check_of(one)) for one in cls.attributes) for cls in CLASSES.values()
}


def _fixed_fields(cls: ObjectClass, raw: Mapping[str, Any], context: Context) -> Object:
    """class, DBID, revision and folderDBID, as far as they are stated."""
    if raw.get("class", cls.name) != cls.name:
        raise BadValue(f"class: {shown(raw['class'])} is stated, {cls.name} is asked for")
    found: Object = {"class": cls.name}
    if raw.get("DBID") is not None:
        found["DBID"] = check_ref(raw["DBID"], f"{cls.name}.DBID", context)
    revision = raw.get("revision")
    if revision is not None:
        if not isinstance(revision, int) or isinstance(revision, bool) or revision < 0:
            raise BadValue(f"{cls.name}.revision: {shown(revision)} is not a revision")
        found["revision"] = revision
    if raw.get("folderDBID") is not None:
        found["folderDBID"] = check_ref(raw["folderDBID"], f"{cls.name}.folderDBID", context)
    return found


_FIXED = frozenset(("class", "DBID", "revision", "folderDBID"))


def check_object(
    cls: ObjectClass,
    raw: Any,
    *,
    strict: bool = False,
    created: Mapping[int, int] | None = None,
    warnings: list[str] | None = None,
    complete: bool = True,
) -> Checked:
    """A stated object as it is stored, with defaults; `complete=False` leaves out the mandatory
    rules.
    """
    if not isinstance(raw, dict):
        raise BadValue(f"{cls.name}: {shown(raw)} is not a JSON object")
    context = Context(strict, created, [] if warnings is None else warnings)
    found = _fixed_fields(cls, raw, context)
    secrets: dict[str, str] = {}
    for one, test in CHECKS[cls.name]:
        name = one.name
        value = raw.get(name)
        if value is None:
            if one.default is not None:
                found[name] = one.default
        elif one.secret:
            secrets[name] = check_secret(cls, name, value)
        elif value or not is_list(one):
            found[name] = test(value, f"{cls.name}.{name}", context)
            if one.type == "part":
                _part_defaults(one, found)
    if not raw.keys() <= _KNOWN[cls.name]:
        unknown = next(name for name in raw if name not in _KNOWN[cls.name])
        raise BadValue(f"{cls.name} has no attribute {shown(unknown)}")
    if complete:
        check_whole(cls, found)
    return Checked(found, secrets)


def _part_defaults(attribute: Attribute, found: Object) -> None:
    part = attribute.part
    if part is None or not any(one.default is not None for one in part.attributes):
        return
    given = found[attribute.name]
    filled = {}
    for one in part.attributes:
        value = given.get(one.name, one.default)
        if value is not None:
            filled[one.name] = value
    found[attribute.name] = filled


def check_secret(cls: ObjectClass, name: str, value: Any) -> str:
    """A secret's text; errors never quote it."""
    if not isinstance(value, str):
        raise BadValue(f"{cls.name}.{name}: a secret is a string")
    return check_text(value, f"{cls.name}.{name}")


def check_whole(cls: ObjectClass, obj: Object) -> None:
    """The rules between attributes: what is mandatory, what may only be there together."""
    for one in _WHOLE[cls.name]:
        value = obj.get(one.name)
        if one.only_if:
            wanted = bool(obj.get(one.only_if))
            if wanted and value is None:
                raise Mandatory(f"{cls.name}.{one.name} is mandatory where {one.only_if} is true")
            if not wanted and value is not None:
                raise BadValue(f"{cls.name}.{one.name} is only there where {one.only_if} is true")
        if one.mandatory and not value:
            raise Mandatory(f"{cls.name}.{one.name} is mandatory")
        if value is not None and one.type == "part" and one.part is not None:
            check_mandatory(one.part, value, f"{cls.name}.{one.name}")


_WHOLE = {
    cls.name: tuple(
        one for one in cls.attributes if one.only_if or one.mandatory or one.type == "part"
    )
    for cls in CLASSES.values()
}
_KNOWN = {cls.name: _FIXED | cls.by_name.keys() for cls in CLASSES.values()}
_ORDER = {
    cls.name: ("class", "DBID", "revision", "folderDBID", *(one.name for one in cls.attributes))
    for cls in CLASSES.values()
}


def ordered(cls: ObjectClass, obj: Object) -> Object:
    """The object's attributes in table order."""
    return {name: obj[name] for name in _ORDER[cls.name] if name in obj}


def complete(cls: ObjectClass, obj: Object, look: Lookup) -> Object:
    """The object with what comes from others: derived always, filled only where nothing was
    stated.
    """
    found = dict(obj)
    for one in cls.attributes:
        source = one.derived or one.filled
        if not source or (one.filled and obj.get(one.name) is not None):
            continue
        name, _, field = source.partition(".")
        other = look.get(cls.by_name[name].of, obj.get(name, 0))
        value = value_at(other, field) if other is not None else None
        if value is None:
            continue
        if one.derived and obj.get(one.name, value) != value:
            raise Immutable(f"{cls.name}.{one.name} follows {name}: it is {shown(value)}")
        found[one.name] = value
    return ordered(cls, found)


def encode(cls: ObjectClass, obj: Object) -> bytes:
    """The object's JSON as clients read it."""
    json = orjson.dumps(canonical(cls, obj, obj["revision"]))
    if len(json) > MAX_OBJECT:
        raise TooBig(
            f"{cls.name}:{obj['DBID']} has {len(json)} bytes, at most {MAX_OBJECT} are allowed"
        )
    return json


def brief(cls: ObjectClass, obj: Object) -> bytes:
    """The JSON of the brief form."""
    return orjson.dumps(brief_of(cls, obj))


def decode(json: bytes) -> Object:
    """An object from its JSON; BadValue where it is none or is too big."""
    if len(json) > MAX_OBJECT:
        raise TooBig(f"the object has {len(json)} bytes, at most {MAX_OBJECT} are allowed")
    try:
        found = orjson.loads(json)
    except orjson.JSONDecodeError as error:
        raise BadValue(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadValue(f"{shown(found)} is not a JSON object")
    return found


__all__ = [
    "Checked",
    "brief",
    "check_object",
    "check_whole",
    "complete",
    "decode",
    "encode",
    "ordered",
]
