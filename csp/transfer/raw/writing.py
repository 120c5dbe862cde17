"""Turns the model's objects into the raw form: the reverse of forms.py."""

# 1. Lists are lists, however many members they have, so that a diff shows what changed.
# 2. Where no source says the numbers of an enumeration, its word stands.

from __future__ import annotations

from typing import Any

from csp.model.types import CLASS_OF_WORD, Attribute
from csp.transfer.naming import NoName
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
from csp.transfer.references import FOLDER
from csp.transfer.stating import ObjectWriter, Write

NO_TENANT = 0  # how a DBID is written does not depend on whose object refers to it


class RawWriter(ObjectWriter):
    """Writes the objects of one class by their DBIDs."""

    def write(self, obj: Object) -> Object:
        """The object in the raw form."""
        found: Object = {DBID: obj["DBID"]}
        folder = obj.get("folderDBID")
        if folder:
            try:
                found["folderDBID"] = self._seen(FOLDER.name, folder)
            except NoName as problem:
                self.lost(str(problem))
        return found | self.stated(self.writes, obj, NO_TENANT, whole=True)

    def spelled(self, attribute: Attribute) -> str:
        return attribute.name

    def write_of(self, attribute: Attribute) -> Write:
        part = attribute.part
        if attribute.typed_by:
            pair = (attribute.typed_by, attribute.name)
            return lambda obj, tenant: self._seen_of_type(pair, obj)
        if attribute.type == "ref" or (attribute.type == "list" and part is None):
            one: Write = lambda dbid, tenant: self._seen(attribute.of, dbid)  # noqa: E731
            return one if attribute.type == "ref" else self._list(DBID, one)
        if part is not None:
            one = self._part(attribute)
            return one if attribute.type == "part" else self._list(part.element, one)
        if attribute.type == "flag":
            return lambda value, tenant: FLAG_TRUE if value else FLAG_FALSE
        if attribute.enum is not None:
            numbers = {word: attribute.enum.number_of(word) for word in attribute.enum.words}
            return lambda value, tenant: value if numbers.get(value) is None else numbers[value]
        return _annex if attribute.type == "kvlist" else lambda value, tenant: value

    def _seen(self, class_name: str, dbid: int) -> int:
        self.names.see(class_name, dbid)
        return dbid

    def _seen_of_type(self, pair: tuple[str, ...], value: Object) -> int:
        """The DBID of a type and a DBID."""
        word, dbid = value[pair[0]], value[pair[1]]
        return self._seen(CLASS_OF_WORD.get(word) or str(word), dbid)

    def _part(self, attribute: Attribute) -> Write:
        part = attribute.part
        assert part is not None
        write = self.part_of(attribute)
        if not part.pair:
            return write

        def of_pair(value: Object, tenant: int) -> Any:
            self._seen_of_type(part.pair, value)
            return write(value, tenant)

        return of_pair

    def _list(self, element: str, one: Write) -> Write:
        members = self.members_of(one)
        return lambda value, tenant: {element: members(value, tenant)}


def _annex(value: dict[str, dict[str, Any]], tenant: int) -> Object:
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
