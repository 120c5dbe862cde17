"""Puts DBIDs in the place of "@k", the object that the k-th command of the transaction creates.

Only references are looked at: a name may well be "@1".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from csp import errors
from csp.model.requests import Command, Create, Update
from csp.model.types import Attribute, ObjectClass, Part
from csp.rules.transaction import Transaction

_FORWARD = re.compile(r"@([1-9][0-9]{0,5})\Z")


@dataclass(frozen=True, slots=True)
class Created:
    """What one command of the transaction creates."""

    cls: ObjectClass
    dbid: int


def resolve(commands: Sequence[Command], tx: Transaction, *, forward: bool) -> list[Created | None]:
    """Gives DBIDs to what the commands create, and puts them where they are referred to.

    forward: "@k" stands for an object; else it is text.
    """
    created: list[Created | None] = [
        Created(one.cls, tx.give_dbid(one.cls)) if isinstance(one, Create) else None
        for one in commands
    ]
    if forward:
        references = Forward(created)
        for number, command in enumerate(commands, 1):
            tx.command = number
            try:
                references.resolve(command)
            except errors.CspError as error:
                tx.refuse(error)
    tx.command = 0
    return created


class Forward:
    """Resolves references to what the commands of one transaction create."""

    def __init__(self, created: Sequence[Created | None]) -> None:
        self.created = created

    def resolve(self, command: Command) -> None:
        """Replaces the command's forward references in place."""
        if isinstance(command, Create):
            self._attributes(command.object, command.cls.by_name)
        elif isinstance(command, Update):
            for name, change in command.delta.items():
                if name in ("changed", "added", "deleted") and isinstance(change, dict):
                    self._paths(command.cls, change)

    def _paths(self, cls: ObjectClass, change: dict[str, Any]) -> None:
        for path, value in change.items():
            if path == "folderDBID":
                change[path] = self._dbid(value, "CfgFolder", path)
                continue
            attribute = cls.attribute(path)
            if attribute is not None:
                change[path] = self._value(attribute, value)

    def _attributes(self, values: dict[str, Any], names: Mapping[str, Attribute]) -> None:
        for name, value in values.items():
            attribute = names.get(name)
            if attribute is not None:
                values[name] = self._value(attribute, value)
            elif name == "folderDBID":
                values[name] = self._dbid(value, "CfgFolder", name)

    def _value(self, attribute: Attribute, value: Any) -> Any:
        if attribute.type == "ref":
            return self._dbid(value, attribute.of, attribute.name)
        if attribute.type == "part" and attribute.part is not None:
            return self._part(attribute.part, value)
        if attribute.type == "list" and isinstance(value, list):
            if attribute.part is None:
                return [self._dbid(one, attribute.of, attribute.name) for one in value]
            return [self._member(attribute.part, attribute.name, one) for one in value]
        return value

    def _member(self, part: Part, name: str, value: Any) -> Any:
        # Under "deleted" a member with a key of one attribute may be the bare key.
        if isinstance(value, str) and len(part.key) == 1:
            key = part.by_name[part.key[0]]
            return self._dbid(value, key.of, name) if key.type == "ref" else value
        return self._part(part, value)

    def _part(self, part: Part, value: Any) -> Any:
        if isinstance(value, dict):
            self._attributes(value, part.by_name)
            if part.pair and isinstance(value.get(part.pair[1]), str):
                value[part.pair[1]] = self._dbid(value[part.pair[1]], "", part.pair[1])
        return value

    def _dbid(self, value: Any, target: str, name: str) -> Any:
        match = _FORWARD.match(value) if isinstance(value, str) else None
        if match is None:
            return value
        at = int(match[1])
        created = self.created[at - 1] if at <= len(self.created) else None
        if created is None:
            raise errors.NoRef(f"{name}: {value}: command {at} creates nothing")
        if target and created.cls.name != target:
            raise errors.NoRef(f"{name}: {value} is a {created.cls.name}, not a {target}")
        return created.dbid
