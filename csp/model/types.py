"""Reads the table of object classes (objects.toml) and offers it as frozen data.

1. Class numbers, key numbers and attribute names are the published ones and never change their
   meaning.
2. `CLASSES` is in the order of the class numbers; attributes are in table order, which is the order
   of the JSON.
3. Every class that is named anywhere in the table is in `CLASSES`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csp.tables.rows import naming_row

# The record class of credentials, which only travels between servers.
ACCOUNT_CLASS_ID = 250
# And of the nodes that govern objects: each store has its own.
NODE_CLASS_ID = 251
# And of what is granted on objects (csp/model/grants.py).
GRANTS_CLASS_ID = 252
# The tenant that owns what belongs to no other.
ENVIRONMENT = 1
# DBIDs below this are kept for built-in objects.
FIRST_DBID = 101
MAX_DBID = 0x7FFFFFFF
MAX_NAME = 255
KEYS_PER_CLASS = 64

OBJECTS_TABLE = Path(__file__).parent.parent / "tables" / "objects.toml"


@dataclass(frozen=True, slots=True)
class Enumeration:
    """A published list of words; a closed one refuses what is not in it."""

    name: str
    words: tuple[str, ...]
    closed: bool
    first: int | None
    source: str
    known: frozenset[str]

    def word_of(self, number: int) -> str | None:
        """The word for a published number, where the numbers are known."""
        if self.first is None or not 0 <= number - self.first < len(self.words):
            return None
        return self.words[number - self.first]

    def number_of(self, word: str) -> int | None:
        """The published number of a word, where the numbers are known."""
        if self.first is None or word not in self.known:
            return None
        return self.words.index(word) + self.first


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a class or of a part."""

    name: str
    type: str
    of: str = ""
    fixed: bool = False
    mandatory: bool = False
    secret: bool = False
    derived: str = ""
    filled: str = ""
    default: str | bool | None = None
    max: int = 0
    mutagen: str = ""
    only_if: str = ""
    typed_by: str = ""
    among: tuple[str, ...] = ()
    joined: str = ""
    part: Part | None = None
    enum: Enumeration | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A structure inside an object; `key` names its members in a keyed list, `pair` its type and
    DBID, `element` the element that holds one in the published XML form.
    """

    name: str
    attributes: tuple[Attribute, ...]
    key: tuple[str, ...] = ()
    pair: tuple[str, ...] = ()
    by_name: Mapping[str, Attribute] = field(default_factory=dict)
    element: str = ""


@dataclass(frozen=True, slots=True)
class UniqueRule:
    """Paths whose values together name at most one object of the class."""

    rule: str
    of: tuple[str, ...]
    unless: Mapping[str, tuple[str, ...]]
    when: Mapping[str, tuple[str, ...]]
    zero: bool


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One filter key as the table says it; csp.model.keys numbers and resolves it."""

    n: int
    name: str
    kind: str
    value: str
    source: str
    other: str
    hidden: bool


@dataclass(frozen=True, slots=True)
class Contribution:
    """The records of `by` make the list `key` (of another class): value = own DBID, members = a
    path.
    """

    key: str
    by: str
    members: str


@dataclass(frozen=True, slots=True)
class ObjectClass:
    """One class of objects."""

    id: int
    name: str
    mutagen: str
    folder: str
    tenant: str
    natural: tuple[str, ...]
    brief: tuple[str, ...]
    unique: tuple[UniqueRule, ...]
    attributes: tuple[Attribute, ...]
    keys: tuple[KeyRow, ...]
    contributions: tuple[Contribution, ...]
    builtin: frozenset[int]
    is_container: bool
    parents: tuple[str, ...]
    fixed_while: Mapping[str, str]
    fixed_while_referred: Mapping[str, str]
    by_name: Mapping[str, Attribute]
    secrets: frozenset[str]
    kvlists: tuple[str, ...]

    @property
    def is_global(self) -> bool:
        """Whether its objects belong to no single tenant: Environment has their default folder."""
        return self.tenant in ("self", "none") or bool(self.tenants_path)

    @property
    def tenants_path(self) -> str:
        """The attribute that lists the tenants of an object which may have several; else empty."""
        return self.tenant.removeprefix("list:") if self.tenant.startswith("list:") else ""

    def attribute(self, path: str) -> Attribute | None:
        """The attribute that a dotted path names, through parts; None if there is none."""
        found: Attribute | None = None
        names: Mapping[str, Attribute] = self.by_name
        for step in path.split("."):
            found = names.get(step)
            if found is None:
                return None
            names = found.part.by_name if found.part is not None and found.type == "part" else {}
        return found


def _attribute(
    row: dict[str, Any], parts: Mapping[str, Part], enums: Mapping[str, Enumeration]
) -> Attribute:
    kind, of = row["type"], row.get("of", "")
    part = parts[of] if kind == "part" or (kind == "list" and of in parts) else None
    if kind == "list" and part is None and not of.startswith("Cfg"):
        raise ValueError(f"objects.toml: {row['name']}: part {of} must stand after what holds it")
    enum = enums[of] if kind == "enum" else None
    row = {"mutagen": row["name"], **row, "among": tuple(row.get("among", ()))}
    return Attribute(**row, part=part, enum=enum)


def _parts(table: dict[str, Any], enums: Mapping[str, Enumeration]) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    # A part stands after the parts that it holds here, though the table reads from the outside in.
    for name, row in reversed(table.items()):
        attributes = tuple(_attribute(one, parts, enums) for one in row["attributes"])
        parts[name] = Part(
            name,
            attributes,
            tuple(row.get("key", ())),
            tuple(row.get("pair", ())),
            {one.name: one for one in attributes},
            row.get("element", f"Cfg{name}"),
        )
    return parts


def _unique(row: dict[str, Any]) -> UniqueRule:
    unless = {path: tuple(words) for path, words in row.get("unless", {}).items()}
    when = {path: tuple(words) for path, words in row.get("when", {}).items()}
    return UniqueRule(row["rule"], tuple(row["of"]), unless, when, row.get("zero", False))


def _kvlists(attributes: tuple[Attribute, ...], prefix: str = "") -> list[str]:
    found: list[str] = []
    for one in attributes:
        if one.type == "kvlist":
            found.append(prefix + one.name)
        elif one.type == "part" and one.part is not None:
            found += _kvlists(one.part.attributes, f"{prefix}{one.name}.")
    return found


def _class(
    name: str,
    row: dict[str, Any],
    parts: Mapping[str, Part],
    enums: Mapping[str, Enumeration],
    contributions: list[Contribution],
) -> ObjectClass:
    attributes = tuple(_attribute(one, parts, enums) for one in row["attributes"])
    keys = tuple(
        KeyRow(
            one["n"],
            one["name"],
            one["kind"],
            one.get("value", "u32"),
            one.get("from", ""),
            one.get("other", ""),
            one.get("hidden", False),
        )
        for one in row["keys"]
    )
    return ObjectClass(
        id=row["id"],
        name=name,
        mutagen=row["mutagen"],
        folder=row.get("folder", ""),
        tenant=row["tenant"],
        natural=tuple(row["natural"]),
        brief=tuple(row["brief"]),
        unique=tuple(_unique(one) for one in row["unique"]),
        attributes=attributes,
        keys=keys,
        contributions=tuple(one for one in contributions if one.by == name),
        builtin=frozenset(row.get("builtin", ())),
        is_container=row.get("container", False),
        parents=tuple(row.get("parents", ())),
        fixed_while=row.get("fixed_while", {}),
        fixed_while_referred=row.get("fixed_while_referred", {}),
        by_name={one.name: one for one in attributes},
        secrets=frozenset(one.name for one in attributes if one.secret),
        kvlists=tuple(_kvlists(attributes)),
    )


def _enumeration(name: str, row: dict[str, Any]) -> Enumeration:
    with naming_row(OBJECTS_TABLE.name, name):
        words = tuple(row["words"])
        return Enumeration(
            name, words, row["closed"], row.get("first"), row["source"], frozenset(words)
        )


def load(
    path: Path = OBJECTS_TABLE,
) -> tuple[dict[str, ObjectClass], dict[str, Enumeration], dict[str, Part]]:
    """The classes, enumerations and parts of a table file."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    enums = {name: _enumeration(name, row) for name, row in table["enums"].items()}
    parts = _parts(table["parts"], enums)
    contributions = [
        Contribution(row["key"], row["by"], row["members"]) for row in table["contributions"]
    ]
    classes = []
    for name, row in table["classes"].items():
        with naming_row(OBJECTS_TABLE.name, name):
            classes.append(_class(name, row, parts, enums, contributions))
    classes.sort(key=lambda one: one.id)
    return {one.name: one for one in classes}, enums, parts


CLASSES, ENUMS, PARTS = load()
by_id: dict[int, ObjectClass] = {one.id: one for one in CLASSES.values()}
# The word of CfgObjectType that stands for a class ("person"), and back.
TYPE_WORDS: tuple[str, ...] = ENUMS["CfgObjectType"].words
CLASS_OF_WORD: dict[str, str] = {
    TYPE_WORDS[one.id]: one.name for one in CLASSES.values() if one.id < len(TYPE_WORDS)
}
WORD_OF_CLASS: dict[str, str] = {name: word for word, name in CLASS_OF_WORD.items()}
TYPE_NUMBERS: dict[str, int] = {word: number for number, word in enumerate(TYPE_WORDS)}
