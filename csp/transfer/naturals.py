"""By what objects of each class are known in files and on a server, as the object table says.

1. A key is the class number, then the parts of the class's natural key in table order: Nodes for
   scopes (a tenant, a switch, a campaign …), text for names and words.
2. Two kinds have more than that and are handled where they are read: folders are known by their
   path, destination labels by their name too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from csp.model.extract import Object, value_at
from csp.model.types import CLASSES, Attribute, ObjectClass

TENANT = "CfgTenant"
BY_PATH = "CfgFolder"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a natural key."""

    path: str  # in the model: "groupInfo.name"
    name: str  # in files, within the group where there is one
    of: str  # the class of a scope; empty for text
    is_word: bool  # of an enumeration: compared in lower case


@dataclass(frozen=True, slots=True)
class Natural:
    """By what the objects of one class are known."""

    cls: ObjectClass
    group: str  # the part of the file's object that holds the key: "group", or empty
    parts: tuple[Part, ...]

    @property
    def in_tenant(self) -> bool:
        """Whether the object's tenant is the first part of its key."""
        return bool(self.parts) and self.parts[0].of == TENANT

    @property
    def scopes(self) -> tuple[Part, ...]:
        """The parts that are other objects, but for the tenant."""
        return tuple(part for part in self.parts if part.of and part.of != TENANT)

    def values(self, obj: Object) -> list[Any]:
        """The parts of an object's key: of the server's, DBIDs for scopes.

        The brief form has what stands in a group beside the rest.
        """
        return [
            value_at(obj, part.path) or obj.get(part.path.rpartition(".")[2]) for part in self.parts
        ]


def _natural(cls: ObjectClass) -> Natural:
    if cls.name == BY_PATH:
        return Natural(cls, "", ())
    parts, group = [], ""
    for path in cls.natural:
        attribute = cls.attribute(path)
        assert attribute is not None, path
        outer, dot, _ = path.partition(".")
        if dot:
            group = cls.by_name[outer].mutagen
        parts.append(_part(path, attribute))
    return Natural(cls, group, tuple(parts))


def _part(path: str, attribute: Attribute) -> Part:
    of = attribute.of if attribute.type == "ref" else ""
    return Part(path, attribute.mutagen, of, attribute.type == "enum")


NATURALS: dict[str, Natural] = {cls.name: _natural(cls) for cls in CLASSES.values()}
# Objects that belong to no tenant, or to several: a reference is a mere name.
GLOBAL = frozenset(name for name, one in NATURALS.items() if len(one.parts) == 1)


def _order(name: str) -> float:
    """Tenants, what belongs to no tenant, what is known by its tenant, folders, the rest."""
    if name == TENANT or name in GLOBAL:
        return 0 if name == TENANT else 1
    if name == BY_PATH:
        return 2.5
    return 2 + max((_order(part.of) - 1 for part in NATURALS[name].scopes), default=0)


# Scopes before what they scope, physical switches before switches, folders after their owners.
IN_ORDER_OF_SCOPES: tuple[str, ...] = tuple(
    sorted(NATURALS, key=lambda name: (_order(name), CLASSES[name].id))
)
