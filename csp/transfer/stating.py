"""Writes objects attribute by attribute, whatever their form in files: what all forms share."""

# 1. A reference that is empty is not stated, and neither is one to what the reader can't see: that
#    is counted.
# 2. A part that lacks a reference which it must have says nothing: it is left out whole.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from csp.model.types import Attribute, ObjectClass
from csp.transfer.naming import Names, NoName
from csp.transfer.present import Object

# A value of an object of that tenant, as a file has it.
Write = Callable[[Any, int], Any]
Lost = Callable[[str], None]


class ObjectWriter(ABC):
    """Writes the objects of one class; `lost` is told of references that had no name."""

    def __init__(self, cls: ObjectClass, names: Names, lost: Lost) -> None:
        self.cls = cls
        self.names = names
        self.lost = lost
        self.writes = self.writes_of(one for one in cls.attributes if not one.secret)

    @abstractmethod
    def write(self, obj: Object) -> Object:
        """The object as a file has it."""

    @abstractmethod
    def spelled(self, attribute: Attribute) -> str:
        """The attribute's name in the form."""

    @abstractmethod
    def write_of(self, attribute: Attribute) -> Write:
        """How an attribute's value is written; one typed by another gets the whole object."""

    def writes_of(self, attributes: Iterable[Attribute]) -> list[tuple[Attribute, Write]]:
        return [(one, self.write_of(one)) for one in attributes]

    def stated(
        self, writes: list[tuple[Attribute, Write]], value: Object, tenant: int, *, whole: bool
    ) -> Object:
        """What an object (whole) or a part states."""
        found: Object = {}
        for one, write in writes:
            stated = value.get(one.name)
            if stated is None or (one.type == "ref" and stated == 0):
                continue
            try:
                found[self.spelled(one)] = write(value if one.typed_by else stated, tenant)
            except NoName as problem:
                if one.mandatory and not whole:
                    raise
                self.lost(str(problem))
        return found

    def part_of(self, attribute: Attribute) -> Write:
        """How a part is written that is no reference itself."""
        assert attribute.part is not None
        writes = self.writes_of(attribute.part.attributes)
        return lambda value, tenant: self.stated(writes, value, tenant, whole=False)

    def members_of(self, write: Write) -> Write:
        """How the members of a list are written."""

        def members(value: Any, tenant: int) -> list[Any]:
            found = []
            for member in value:
                try:
                    found.append(write(member, tenant))
                except NoName as problem:
                    self.lost(str(problem))
            return found

        return members
