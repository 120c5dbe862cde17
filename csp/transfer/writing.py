"""Turns the model's objects into the form that files have: the reverse of forms.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from csp.model.types import Attribute, ObjectClass
from csp.transfer.forms import FORM_OF, MAPS, MERE_NAMES
from csp.transfer.naming import Names, NoName
from csp.transfer.naturals import NATURALS
from csp.transfer.present import Object

# A value of an object of that tenant, as a file has it.
Write = Callable[[Any, int], Any]


class Writer:
    """Writes the objects of one class; `lost` counts references that had no name."""

    def __init__(self, cls: ObjectClass, names: Names, lost: Callable[[str], None]) -> None:
        self.cls = cls
        self.names = names
        self.lost = lost
        derived = {part.path for part in NATURALS[cls.name].parts} | {"tenantDBID"}
        self._writes = [
            (one, self._write(one))
            for one in cls.attributes
            if not one.secret and (not one.derived or one.name in derived)
        ]
        typed = {one.typed_by for one in cls.attributes if one.typed_by}
        self._writes = [(one, write) for one, write in self._writes if one.name not in typed]

    def write(self, obj: Object) -> Object:
        """The object in the form of files."""
        tenant = self.names.tenant(self.cls.name, obj["DBID"]) if self.cls.name in FORM_OF else 0
        found: Object = {}
        for attribute, write in self._writes:
            if attribute.typed_by:
                if obj.get(attribute.name):
                    self._put(found, attribute, self._typed, obj, tenant)
                continue
            value = obj.get(attribute.name)
            if value is not None and not (attribute.type == "ref" and value == 0):
                self._put(found, attribute, write, value, tenant)
        folder = obj.get("folderDBID")
        if folder:
            try:
                place = self.names.folder(folder)
            except NoName as problem:
                self.lost(str(problem))
            else:
                if place is not None:
                    found["folder"] = place
        return found

    def _put(
        self, found: Object, attribute: Attribute, write: Write, value: Any, tenant: int
    ) -> None:
        try:
            found[attribute.mutagen] = write(value, tenant)
        except NoName as problem:
            self.lost(str(problem))

    # ------------------------------------------------------------------ by type

    def _write(self, attribute: Attribute) -> Write:
        if attribute.type == "ref":
            return lambda value, tenant: self.names.reference(attribute.of, value, tenant)
        if attribute.type == "part":
            return self._part(attribute)
        if attribute.type == "list":
            return self._list(attribute)
        if attribute.joined:
            return lambda value, tenant: value.split(attribute.joined) if value else []
        return lambda value, tenant: value

    def _typed(self, obj: Any, tenant: int) -> Any:
        (attribute,) = [one for one in self.cls.attributes if one.typed_by]
        found = self.names.typed((attribute.typed_by, attribute.name), obj, tenant, "")
        if isinstance(found, str):  # "agentgroup/Sales"
            word, _, name = found.partition("/")
            return {attribute.typed_by: word, "name": name}
        return found

    def _part(self, attribute: Attribute) -> Write:
        part = attribute.part
        assert part is not None
        if part.pair:
            mere = MERE_NAMES.get(part.name, "")
            return lambda value, tenant: self.names.typed(part.pair, value, tenant, mere)
        writes = [(one, self._write(one)) for one in part.attributes]

        def write(value: Any, tenant: int) -> Object:
            found: Object = {}
            for one, inner in writes:
                stated = value.get(one.name)
                if stated is not None and not (one.type == "ref" and stated == 0):
                    self._put(found, one, inner, stated, tenant)
            return found

        return write

    def _list(self, attribute: Attribute) -> Write:
        part = attribute.part
        if part is None:
            one: Write = lambda dbid, tenant: self.names.reference(attribute.of, dbid, tenant)  # noqa: E731
            return self._members(one)
        if part.name in MAPS:
            return self._map(part.name, self._members(self._part(attribute)))
        return self._members(self._part(attribute))

    def _members(self, write: Write) -> Write:
        def members(value: Any, tenant: int) -> list[Any]:
            found = []
            for member in value:
                try:
                    found.append(write(member, tenant))
                except NoName as problem:
                    self.lost(str(problem))
            return found

        return members

    def _map(self, name: str, members: Write) -> Write:
        """A list of two attributes as a map, where all keys are mere names."""
        key, value_name = MAPS[name]

        def write(value: Any, tenant: int) -> Any:
            found = members(value, tenant)
            plain = all(isinstance(one.get(key), str) and value_name in one for one in found)
            return {one[key]: one[value_name] for one in found} if plain else found

        return write
