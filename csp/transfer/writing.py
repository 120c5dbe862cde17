"""Turns the model's objects into the form that files have: the reverse of forms.py."""

from __future__ import annotations

from typing import Any

from csp.model.types import Attribute, ObjectClass
from csp.transfer.forms import MAPS, MERE_NAMES
from csp.transfer.naming import Names, NoName
from csp.transfer.naturals import NATURALS
from csp.transfer.present import Object
from csp.transfer.stating import Lost, ObjectWriter, Write


class Writer(ObjectWriter):
    """Writes the objects of one class by their names."""

    def __init__(self, cls: ObjectClass, names: Names, lost: Lost) -> None:
        super().__init__(cls, names, lost)
        told = {part.path for part in NATURALS[cls.name].parts} | {"tenantDBID"}
        typed = {one.typed_by for one in cls.attributes}
        self.writes = [
            (one, write)
            for one, write in self.writes
            if one.name not in typed and (not one.derived or one.name in told)
        ]

    def write(self, obj: Object) -> Object:
        """The object in the form of files."""
        tenant = self.names.tenant(self.cls.name, obj["DBID"])
        found = self.stated(self.writes, obj, tenant, whole=True)
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

    def spelled(self, attribute: Attribute) -> str:
        return attribute.mutagen

    def write_of(self, attribute: Attribute) -> Write:
        part = attribute.part
        if attribute.typed_by:
            pair = (attribute.typed_by, attribute.name)
            return lambda obj, tenant: self.names.described(pair, obj, tenant)
        if attribute.type == "ref" or (attribute.type == "list" and part is None):
            one: Write = lambda dbid, tenant: self.names.reference(attribute.of, dbid, tenant)  # noqa: E731
            return one if attribute.type == "ref" else self.members_of(one)
        if part is not None:
            one = self._part(attribute)
            if attribute.type == "part":
                return one
            members = self.members_of(one)
            return _map(part.name, members) if part.name in MAPS else members
        if attribute.joined:
            return lambda value, tenant: value.split(attribute.joined) if value else []
        return lambda value, tenant: value

    def _part(self, attribute: Attribute) -> Write:
        part = attribute.part
        assert part is not None
        if not part.pair:
            return self.part_of(attribute)
        mere = MERE_NAMES.get(part.name, "")
        return lambda value, tenant: self.names.typed(part.pair, value, tenant, mere)


def _map(name: str, members: Write) -> Write:
    """A list of two attributes as a map, where all keys are mere names."""
    key, value_name = MAPS[name]

    def write(value: Any, tenant: int) -> Any:
        found = members(value, tenant)
        plain = all(isinstance(one.get(key), str) and value_name in one for one in found)
        return {one[key]: one[value_name] for one in found} if plain else found

    return write
