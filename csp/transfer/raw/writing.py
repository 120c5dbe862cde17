"""Turns the model's objects into the raw form: the reverse of forms.py."""

# 1. Lists are lists, however many members they have, so that a diff shows what changed.
# 2. Where no source says the numbers of an enumeration, its word stands.
# 3. What refers to an object that the reader can't see is left out and counted.

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from csp.model.types import CLASS_OF_WORD, Attribute, ObjectClass
from csp.transfer.naming import Names, NoName
from csp.transfer.present import Object
from csp.transfer.raw.words import (
    BINARY_PAIR,
    DBID,
    FLAG_FALSE,
    FLAG_TRUE,
    INT_PAIR,
    SECTION_PAIR,
    STRING_PAIR,
)

Write = Callable[[Any], Any]


class RawWriter:
    """Writes the objects of one class; `lost` counts references to what can't be seen."""

    def __init__(self, cls: ObjectClass, names: Names, lost: Callable[[str], None]) -> None:
        self._names = names
        self._lost = lost
        self._members = self._members_of(cls.attributes, whole=True)
        self._folder = self._reference("CfgFolder")

    def write(self, obj: Object) -> Object:
        """The object in the raw form."""
        found: Object = {DBID: obj["DBID"]}
        if obj.get("folderDBID"):
            self._put(found, "folderDBID", self._folder, obj["folderDBID"])
        found |= self._members(obj)
        return found

    def _put(self, found: Object, name: str, write: Write, value: Any) -> None:
        try:
            found[name] = write(value)
        except NoName as problem:
            self._lost(str(problem))

    def _members_of(self, attributes: Iterable[Attribute], *, whole: bool = False) -> Write:
        """Writes a whole object or a part; a reference that is empty is left out."""
        writes = [(one, self._write(one)) for one in attributes if not one.secret]

        def write(value: Object) -> Object:
            found: Object = {}
            for one, inner in writes:
                stated = value.get(one.name)
                if stated is None or (one.type == "ref" and stated == 0):
                    continue
                if one.typed_by:
                    inner = self._reference(CLASS_OF_WORD.get(value[one.typed_by], ""))
                if one.mandatory and not whole:
                    found[one.name] = inner(stated)  # without it the part says nothing
                else:
                    self._put(found, one.name, inner, stated)
            return found

        return write

    # ------------------------------------------------------------------ by type

    def _write(self, attribute: Attribute) -> Write:
        if attribute.type == "ref":
            return self._reference(attribute.of)
        if attribute.type == "flag":
            return lambda value: FLAG_TRUE if value else FLAG_FALSE
        if attribute.type == "enum" and attribute.enum is not None:
            enum = attribute.enum
            numbers = {word: enum.number_of(word) for word in enum.words}
            return lambda value: value if numbers.get(value) is None else numbers[value]
        if attribute.type == "part":
            return self._part(attribute)
        if attribute.type == "list":
            return self._list(attribute)
        return annex if attribute.type == "kvlist" else lambda value: value

    def _reference(self, class_name: str) -> Write:
        def write(dbid: int) -> int:
            self._names.see(class_name, dbid)
            return dbid

        return write

    def _part(self, attribute: Attribute) -> Write:
        part = attribute.part
        assert part is not None
        members = self._members_of(part.attributes)
        if not part.pair:
            return members

        def write(value: Object) -> Any:
            self._names.see(CLASS_OF_WORD.get(value[part.pair[0]], ""), value[part.pair[1]])
            return members(value)

        return write

    def _list(self, attribute: Attribute) -> Write:
        part = attribute.part
        one = self._reference(attribute.of) if part is None else self._part(attribute)
        element = DBID if part is None else part.element

        def write(value: list[Any]) -> Object:
            found: list[Any] = []
            for member in value:
                try:
                    found.append(one(member))
                except NoName as problem:
                    self._lost(str(problem))
            return {element: found}

        return write


def annex(value: dict[str, dict[str, Any]]) -> Object:
    """Sections and their pairs, by the kind of each value."""
    return {SECTION_PAIR: [{"key": name, **_pairs(pairs)} for name, pairs in value.items()]}


def _pairs(pairs: dict[str, Any]) -> Object:
    found: dict[str, list[Object]] = {}
    for key, value in pairs.items():
        if isinstance(value, dict):
            found.setdefault(BINARY_PAIR, []).append({"key": key, **value})
        else:
            kind = STRING_PAIR if isinstance(value, str) else INT_PAIR
            found.setdefault(kind, []).append({"key": key, "value": value})
    return found
