"""One object of a raw file, its DBID and place set apart from its attributes."""

# What the published form has elsewhere than the model is brought to the model's place:
# 1. A group's common part is its element CfgGroup, and repeats the DBID.
# 2. A folder states its parent as parentID, and what lies in it as objectIDs.
# 3. What states no tenant belongs to tenant 1.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from csp.model.types import CLASS_OF_WORD, ENVIRONMENT, WORD_OF_CLASS, ObjectClass
from csp.transfer.naturals import NATURALS
from csp.transfer.objects import Node
from csp.transfer.raw.forms import elements, type_word, unwrapped
from csp.transfer.raw.words import CLASS_OF_SECTION, DBID
from csp.transfer.reading import RawObject
from csp.transfer.references import FOLDER, WrongValue, member, shown_type, step

GROUP = "groupInfo"
GROUP_ELEMENT = "CfgGroup"
# What CfgFolder has beside its attributes in the model.
PARENT, CONTENT = "parentID", "objectIDs"
FOLDER_WORD = WORD_OF_CLASS[FOLDER.name]


@dataclass(slots=True)
class Stated:
    """One object as its file states it."""

    raw: RawObject
    cls: ObjectClass
    dbid: int  # 0: it has none, so nothing can refer to it
    folder: int  # the DBID of the folder it lies in; 0: not stated, or in none
    content: list[tuple[str, int]]  # of a folder: class and DBID of what lies in it
    node: Node | None = None
    busy: bool = False  # its key is being found


def stated(raw: RawObject) -> Stated:
    """Takes the object apart; raw.value keeps its attributes alone."""
    cls = CLASS_OF_SECTION[raw.section]
    value = raw.value
    dbid = step(DBID, number, value.pop(DBID, 0))
    folder = step("folderDBID", number, value.pop("folderDBID", 0))
    content: list[tuple[str, int]] = []
    if cls is FOLDER:
        folder = folder or step(PARENT, _parent, value.pop(PARENT, None))
        content = step(CONTENT, lambda: list(_content(value.pop(CONTENT, ""))))
    if GROUP in cls.by_name:
        dbid = _group(value) or dbid
    natural = NATURALS[cls.name]
    if natural.in_tenant:
        path, holder = natural.parts[0].path.split("."), value
        if len(path) > 1:
            holder = value[path[0]]
        if not holder.get(path[-1]):
            holder[path[-1]] = ENVIRONMENT
    for attribute in cls.attributes:
        if attribute.typed_by and value.get(attribute.name) is not None:
            names = (attribute.typed_by, attribute.name)
            value[attribute.name] = {name: value.get(name) for name in names}
        if attribute.typed_by:
            value.pop(attribute.typed_by, None)
    return Stated(raw, cls, dbid, folder, content)


def number(value: Any) -> int:
    """A DBID, or 0."""
    if value is None:
        return 0
    if value.__class__ is not int or value < 0:
        raise WrongValue(f"a DBID is expected, not {shown_type(value)}")
    return int(value)


def _group(value: dict[str, Any]) -> int:
    """Brings the common part to its place; the DBID that it repeats."""
    group = value.pop(GROUP_ELEMENT, None) or unwrapped(value.get(GROUP))
    if not isinstance(group, dict):
        raise WrongValue("an object is expected", GROUP)
    value[GROUP] = group
    return int(step(GROUP, step, DBID, number, group.pop(DBID, 0)))


def _parent(value: Any) -> int:
    """The DBID of the folder above; the folder of an owner may name the owner instead: 0."""
    if value is None or value == "":
        return 0
    value = unwrapped(value)
    if not isinstance(value, dict):
        raise WrongValue(f"an object is expected, not {shown_type(value)}")
    above = step("type", type_word, member(value, "type")) == FOLDER_WORD
    return step(DBID, number, value.get(DBID)) if above else 0


def _content(value: Any) -> Iterator[tuple[str, int]]:
    for path, one in elements(value):
        if not isinstance(one, dict):
            raise WrongValue(f"an object is expected, not {shown_type(one)}", path)
        word = step(path, step, "type", type_word, member(one, "type"))
        yield CLASS_OF_WORD.get(word, word), step(path, step, DBID, number, one.get(DBID))
