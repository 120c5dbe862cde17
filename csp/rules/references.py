"""Finds and clears the references of an object, by the table of its class.

1. A reference is found by its class's attributes alone; 0 and absent mean "none".
2. It is needed if its attribute is mandatory or fixed (or taken from another object), and no list
   member: then what it names can't be deleted.
3. Clearing sets a single reference to 0, takes a pair away and removes members of lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from csp.model.extract import Object as JsonObject
from csp.model.types import CLASS_OF_WORD, CLASSES, Attribute, ObjectClass

FOLDER_PATH: Final = "folderDBID"

Key = tuple[int, int]  # class number and DBID


class Site(NamedTuple):
    """A place in the objects of a class that may hold a reference."""

    path: str  # "agentInfo.skillLevels[].skillDBID"
    target: str  # class name; empty: the type that stands beside the DBID says it
    needed: bool
    pair: tuple[str, ...] = ()  # where the target is empty: the attributes of type and DBID


class Found(NamedTuple):
    """One reference of one object."""

    site: Site
    class_name: str  # empty: a word beside the DBID that names no class, as "noobject"
    dbid: int


class Reference(NamedTuple):
    """One reference to a certain object, seen from the object that refers."""

    path: str
    needed: bool
    site: Site


Collect = Callable[[JsonObject, list[Found]], None]


def references_of(cls: ObjectClass, obj: JsonObject) -> list[Found]:
    """All references of an object, in the order of the table."""
    found: list[Found] = []
    for collect in _collectors(cls):
        collect(obj, found)
    return found


def referring(cls: ObjectClass) -> tuple[str, ...]:
    """The attributes that may hold references, or say what a reference is."""
    found = _referring.get(cls.id)
    if found is None:
        names = [FOLDER_PATH]
        for attribute in cls.attributes:
            if attribute.typed_by or next(_of_attribute(attribute, ()), None) is not None:
                names += [attribute.name, *([attribute.typed_by] if attribute.typed_by else ())]
        _referring[cls.id] = found = tuple(dict.fromkeys(names))
    return found


def targets_of(cls: ObjectClass, obj: JsonObject) -> Iterator[Key]:
    for _, class_name, dbid in references_of(cls, obj):
        if class_name:
            yield CLASSES[class_name].id, dbid


def rows_of(references: list[Found]) -> set[tuple[str, int, int]]:
    """(path, class, DBID) of every reference, as the database keeps them."""
    return {
        (site.path, CLASSES[class_name].id, dbid)
        for site, class_name, dbid in references
        if class_name
    }


def references_to(cls: ObjectClass, obj: JsonObject, key: Key) -> list[Reference]:
    """Where an object refers to `key`."""
    return references_among(references_of(cls, obj), key)


def references_among(found: list[Found], key: Key) -> list[Reference]:
    """Which of an object's references are to `key`."""
    return [
        Reference(site.path, site.needed, site)
        for site, class_name, dbid in found
        if dbid == key[1] and class_name and CLASSES[class_name].id == key[0]
    ]


@cache
def needing_paths() -> frozenset[tuple[int, str]]:
    """(class, path) of every reference that keeps what it names from being deleted."""
    folder = [(cls.id, FOLDER_PATH) for cls in CLASSES.values()]
    return frozenset(
        folder
        + [
            (cls.id, site.path)
            for cls in CLASSES.values()
            for attribute in cls.attributes
            for site, _ in _of_attribute(attribute, ())
            if site.needed
        ]
    )


def clear(obj: JsonObject, references: list[Reference], key: Key) -> JsonObject:
    """The object without these references; what has none of them is shared with the old one."""
    cleared = dict(obj)
    for reference in references:
        _clear(cleared, reference.site, key)
    return cleared


# -- by the table --------------------------------------------------------------------------------

_referring: dict[int, tuple[str, ...]] = {}
_compiled: dict[int, tuple[Collect, ...]] = {}


def _collectors(cls: ObjectClass) -> tuple[Collect, ...]:
    found = _compiled.get(cls.id)
    if found is None:
        folder = Site(FOLDER_PATH, "CfgFolder", True)
        every = [_single(folder, (FOLDER_PATH,))]
        for attribute in cls.attributes:
            every += [collect for _, collect in _of_attribute(attribute, ())]
        _compiled[cls.id] = found = tuple(every)
    return found


def _of_attribute(attribute: Attribute, above: tuple[str, ...]) -> Iterator[tuple[Site, Collect]]:
    steps = (*above, attribute.name)
    path = ".".join(steps)
    needed = attribute.mandatory or attribute.fixed or bool(attribute.derived)
    if attribute.typed_by:
        site = Site(path, "", needed, (attribute.typed_by, attribute.name))
        yield site, _pair(site, lambda obj: obj)
    elif attribute.type == "ref":
        site = Site(path, attribute.of, needed)
        yield site, _single(site, steps)
    elif attribute.type == "part" and attribute.part is not None:
        if attribute.part.pair:
            site = Site(path, "", needed, attribute.part.pair)
            yield site, _pair(site, _taker(steps))
        for inner in attribute.part.attributes:
            yield from _of_attribute(inner, steps)
    elif attribute.type == "list" and attribute.part is None:
        site = Site(f"{path}[]", attribute.of, False)
        yield site, _plain_list(site, steps)
    elif attribute.type == "list" and attribute.part is not None:
        if attribute.part.pair:
            site = Site(f"{path}[]", "", False, attribute.part.pair)
            yield site, _pair_list(site, steps)
        for inner in attribute.part.attributes:
            if inner.type == "ref":
                site = Site(f"{path}[].{inner.name}", inner.of, False)
                yield site, _member_list(site, steps, inner.name)


def _taker(steps: tuple[str, ...]) -> Callable[[JsonObject], Any]:
    if len(steps) == 1:
        name = steps[0]
        return lambda obj: obj.get(name)
    first, second = steps

    def take(obj: JsonObject) -> Any:
        part = obj.get(first)
        return part.get(second) if part else None

    return take


def _single(site: Site, steps: tuple[str, ...]) -> Collect:
    take, target = _taker(steps), site.target

    def collect(obj: JsonObject, found: list[Found]) -> None:
        dbid = take(obj)
        if dbid:
            found.append(Found(site, target, dbid))

    return collect


def _pair(site: Site, take: Callable[[JsonObject], Any]) -> Collect:
    word, number = site.pair

    def collect(obj: JsonObject, found: list[Found]) -> None:
        pair = take(obj)
        if pair and pair.get(number):
            found.append(Found(site, CLASS_OF_WORD.get(pair.get(word), ""), pair[number]))

    return collect


def _plain_list(site: Site, steps: tuple[str, ...]) -> Collect:
    take, target = _taker(steps), site.target

    def collect(obj: JsonObject, found: list[Found]) -> None:
        for dbid in take(obj) or ():
            found.append(Found(site, target, dbid))

    return collect


def _pair_list(site: Site, steps: tuple[str, ...]) -> Collect:
    take = _taker(steps)
    word, number = site.pair

    def collect(obj: JsonObject, found: list[Found]) -> None:
        for pair in take(obj) or ():
            if pair.get(number):
                found.append(Found(site, CLASS_OF_WORD.get(pair.get(word), ""), pair[number]))

    return collect


def _member_list(site: Site, steps: tuple[str, ...], name: str) -> Collect:
    take, target = _taker(steps), site.target

    def collect(obj: JsonObject, found: list[Found]) -> None:
        for member in take(obj) or ():
            dbid = member.get(name)
            if dbid:
                found.append(Found(site, target, dbid))

    return collect


def _clear(obj: JsonObject, site: Site, key: Key) -> None:
    before, is_list, field = site.path.partition("[]")
    *parts, name = before.split(".")
    holder = obj
    for step in parts:
        holder[step] = dict(holder[step])
        holder = holder[step]
    if not is_list:
        if site.target:
            holder[name] = 0
        else:
            del holder[name]
        return
    field = field.removeprefix(".")
    kept = [one for one in holder.get(name, ()) if not _names(one, field, site, key)]
    if kept:
        holder[name] = kept
    else:
        holder.pop(name, None)  # no stored object has an empty list


def _names(member: Any, field: str, site: Site, key: Key) -> bool:
    if field:
        return bool(member.get(field) == key[1])
    if site.target:
        return bool(member == key[1])
    word, number = site.pair
    cls = CLASSES.get(CLASS_OF_WORD.get(member.get(word), ""))
    return bool(member.get(number) == key[1] and cls is not None and cls.id == key[0])
