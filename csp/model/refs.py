"""Lists what an object refers to, and takes a reference out of it.

1. Only references to classes of the table are listed; 0 refers to nothing.
2. `kind` says what deleting the target does: "optional" is cleared to 0 (a pair is taken away),
   "member" is removed from its
   list, "mandatory" and "fixed" refuse the deletion.
3. Derived attributes are not listed: they follow a reference that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from csp.model.extract import Object, value_at
from csp.model.types import CLASS_OF_WORD, CLASSES, Attribute, ObjectClass, Part


class Reference(NamedTuple):
    """One reference of an object; for a member the path names the list and the field."""

    path: str
    class_name: str
    dbid: int
    kind: str


Walk = Callable[[Object], Iterator[Reference]]


def _scalar(path: str, class_name: str, kind: str) -> Walk:
    def walk(obj: Object) -> Iterator[Reference]:
        dbid = value_at(obj, path) if "." in path else obj.get(path)
        if dbid:
            yield Reference(path, class_name, dbid, kind)

    return walk


def _plain_list(path: str, class_name: str) -> Walk:
    def walk(obj: Object) -> Iterator[Reference]:
        for dbid in value_at(obj, path) or ():
            yield Reference(path, class_name, dbid, "member")

    return walk


def _member_field(path: str, field: str, class_name: str) -> Walk:
    name = f"{path}.{field}"

    def walk(obj: Object) -> Iterator[Reference]:
        for member in value_at(obj, path) or ():
            dbid = member.get(field)
            if dbid:
                yield Reference(name, class_name, dbid, "member")

    return walk


def _of_pair(pair: Any, names: tuple[str, ...], path: str, kind: str) -> Iterator[Reference]:
    word, number = names
    class_name = CLASS_OF_WORD.get(pair.get(word, ""))
    if class_name and pair.get(number):
        yield Reference(path, class_name, pair[number], kind)


def _pair(path: str, names: tuple[str, ...], kind: str) -> Walk:
    def walk(obj: Object) -> Iterator[Reference]:
        pair = value_at(obj, path)
        if pair:
            yield from _of_pair(pair, names, path, kind)

    return walk


def _pair_list(path: str, names: tuple[str, ...]) -> Walk:
    def walk(obj: Object) -> Iterator[Reference]:
        for pair in value_at(obj, path) or ():
            yield from _of_pair(pair, names, path, "member")

    return walk


def _typed(one: Attribute, kind: str) -> Walk:
    """A reference of the object itself whose class stands in the attribute beside it."""
    names = (one.typed_by, one.name)
    return lambda obj: _of_pair(obj, names, one.name, kind)


def _kind(one: Attribute) -> str:
    return "fixed" if one.fixed else "mandatory" if one.mandatory else "optional"


def _of_list(one: Attribute, part: Part | None, path: str) -> list[Walk]:
    if part is None:
        return [_plain_list(path, one.of)] if one.of in CLASSES else []
    if part.pair:
        return [_pair_list(path, part.pair)]
    return [
        _member_field(path, field.name, field.of)
        for field in part.attributes
        if field.type == "ref" and field.of in CLASSES
    ]


def _walks(attributes: tuple[Attribute, ...], prefix: str) -> list[Walk]:
    found: list[Walk] = []
    for one in attributes:
        path = prefix + one.name
        if one.derived:
            continue
        if one.typed_by:
            found.append(_typed(one, _kind(one)))
        elif one.type == "ref" and one.of in CLASSES:
            found.append(_scalar(path, one.of, _kind(one)))
        elif one.type == "list":
            found += _of_list(one, one.part, path)
        elif one.type == "part" and one.part is not None:
            if one.part.pair:
                found.append(_pair(path, one.part.pair, _kind(one)))
            else:
                found += _walks(one.part.attributes, path + ".")
    return found


_WALKS: dict[str, tuple[Walk, ...]] = {
    cls.name: (
        _scalar("folderDBID", "CfgFolder", "mandatory"),
        *_walks(cls.attributes, ""),
    )
    for cls in CLASSES.values()
}


def references_of(cls: ObjectClass, obj: Object) -> Iterator[Reference]:
    """Every reference of an object to an object of a known class."""
    for walk in _WALKS[cls.name]:
        yield from walk(obj)


def clear_references(cls: ObjectClass, obj: Object, class_name: str, dbid: int) -> Object:
    """The object without its optional references to, and list members of, one object."""
    new: Object = orjson.loads(orjson.dumps(obj))
    for one in list(references_of(cls, new)):
        if one.class_name == class_name and one.dbid == dbid:
            clear_reference(cls, new, one)
    return new


def clear_reference(cls: ObjectClass, obj: Object, reference: Reference) -> None:
    """Takes one reference out of `obj`, which is changed."""
    if reference.kind == "optional":
        _clear_optional(cls, obj, reference)
        return
    if reference.kind != "member":
        raise ValueError(f"{cls.name}.{reference.path} is {reference.kind}: it can't be cleared")
    attribute = cls.attribute(reference.path)
    if attribute is not None and attribute.type == "list":
        path, field = reference.path, ""
    else:
        path, _, field = reference.path.rpartition(".")
    before, _, last = path.rpartition(".")
    holder = value_at(obj, before) if before else obj
    pair = attribute.part.pair if attribute is not None and attribute.part is not None else ()
    left = [one for one in holder[last] if not _names(one, field, pair, reference)]
    if left:
        holder[last] = left
    else:
        holder.pop(last)


def _clear_optional(cls: ObjectClass, obj: Object, reference: Reference) -> None:
    before, _, last = reference.path.rpartition(".")
    holder = value_at(obj, before) if before else obj
    attribute = cls.attribute(reference.path)
    if attribute is not None and attribute.type == "part":
        holder.pop(last, None)
    else:
        holder[last] = 0


def _names(member: Any, field: str, pair: tuple[str, ...], reference: Reference) -> bool:
    if not isinstance(member, dict):
        return bool(member == reference.dbid)
    if field:
        return bool(member.get(field) == reference.dbid)
    word, number = pair
    named = CLASS_OF_WORD.get(member.get(word, "")) == reference.class_name
    return named and member.get(number) == reference.dbid
