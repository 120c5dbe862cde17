"""Says attributes as the files of an import spell them, where errors have the model's names."""

from __future__ import annotations

import re
from functools import cache

from csp.model.types import CLASSES, Attribute
from csp.transfer.objects import Item

WORD = re.compile(r"[A-Za-z]\w+")


def spelled(item: Item, text: str) -> str:
    """A path or a sentence about an object, in the names that its file has."""
    if item.by_dbid:
        return text
    names = _names_of(item.node.cls.name)
    return WORD.sub(lambda match: names.get(match[0], match[0]), text)


@cache
def _names_of(class_name: str) -> dict[str, str]:
    return {"folderDBID": "folder"} | _names(CLASSES[class_name].attributes)


def _names(attributes: tuple[Attribute, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in attributes:
        if one.part is not None:
            found |= _names(one.part.attributes)
    return found | {one.name: one.mutagen for one in attributes if one.name != one.mutagen}
