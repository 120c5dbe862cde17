"""Turns objects from the form that files have into the model's, as the object table says."""

# mutagen's form names an attribute without its DBID (`tenant`, `agents`), names objects where the
# model has DBIDs, and writes skill levels and ranks as maps.  csp's own form has, by the same
# conventions, every attribute and class of the table.

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from csp.model.types import CLASSES, Attribute, ObjectClass
from csp.transfer.references import (
    REFERENCES,
    Context,
    WrongValue,
    read_own_folder,
    shown_type,
    step,
    text,
    typed,
)

Convert = Callable[[Any, Context], Any]

INT_MIN, INT_MAX = -(1 << 31), (1 << 32) - 1  # published integers are signed or unsigned
OPTION_BYTES_MAX = 64 * 1024
OPTION_CHARACTERS_SAFE = OPTION_BYTES_MAX // 4  # so many never have more bytes
SURROGATE = re.compile("[\ud800-\udfff]")

# Sections that mutagen does not have.
OWN_SECTIONS = frozenset((
    "agentLogins", "statDays", "statTables", "formats", "tableAccesses", "callingLists",
    "treatments", "filters", "timeZones", "voicePrompts", "ivrPorts", "objectiveTables",
    "scheduledTasks",
))  # fmt: skip
# What a mere name means in a part that says a type; elsewhere the type stands before it.
MERE_NAMES = {"Member": "person", "OwnerID": "tenant", "Account": "person"}
SEVERAL = ""  # in place of an attribute's name: the value is a dictionary of attributes


class Form:
    """How the objects of one class are written in files."""

    def __init__(self, cls: ObjectClass) -> None:
        self.cls = cls
        self.section = cls.mutagen
        self.attributes: dict[str, tuple[str, Convert]] = {}
        self.derived = frozenset(one.name for one in cls.attributes if one.derived)
        self.mandatory = tuple((one.name, one.mutagen) for one in cls.attributes if one.mandatory)
        for attribute in cls.attributes:
            name = SEVERAL if attribute.typed_by else attribute.name
            if attribute.name != "ownerID" or cls.name != "CfgFolder":
                self.attributes[attribute.mutagen] = (name, _convert(attribute))
        for attribute in cls.attributes:
            if attribute.typed_by:
                del self.attributes[attribute.typed_by]  # it stands in the reference
        self.attributes["folder"] = ("folderDBID", read_own_folder)

    def read(
        self, value: dict[str, Any], context: Context, report: Callable[[str, WrongValue], None]
    ) -> dict[str, Any]:
        """The object in the model's form; what is wrong goes to report(attribute, problem)."""
        body: dict[str, Any] = {}
        attributes = self.attributes
        for name, stated in value.items():
            if stated is None:
                continue
            known = attributes.get(name)
            if known is None:
                report(name, WrongValue(f"{self.cls.name} has no such attribute"))
                continue
            try:
                found = known[1](stated, context)
                if known[0] == SEVERAL:
                    body |= found
                else:
                    body[known[0]] = found
            except WrongValue as problem:
                report(name, problem)
        for name in self.derived:
            body.pop(name, None)
        return body


# ---------------------------------------------------------------------- values


def _convert(attribute: Attribute) -> Convert:
    if attribute.typed_by:
        return typed((attribute.typed_by, attribute.name))
    if attribute.joined:
        return _joined(attribute.joined)
    if attribute.type == "ref":
        return REFERENCES[attribute.of]
    if attribute.type == "enum":
        return _enum(attribute)
    if attribute.type == "part":
        return _part(attribute)
    if attribute.type == "list":
        return _list(attribute)
    if attribute.type == "kvlist":
        return _sections
    return {"string": _string(attribute.max), "int": _int, "flag": _flag}[attribute.type]


def _string(size_max: int) -> Convert:
    def read(value: Any, context: Context) -> str:
        if value.__class__ is not str:
            raise WrongValue(f"a string is expected, not {shown_type(value)}")
        if size_max and len(value) > size_max:
            raise WrongValue(f"has {len(value)} characters; at most {size_max} are allowed")
        return str(value)

    return read


def no_text(value: Any, path: str = "") -> Iterator[WrongValue]:
    """What in a value is no text: NUL, or half of a surrogate pair."""
    if isinstance(value, str):
        if "\0" in value:
            yield WrongValue("must not contain the character NUL", path)
        if not value.isascii() and SURROGATE.search(value):
            yield WrongValue("holds half of a surrogate pair, which is not text", path)
    elif isinstance(value, dict):
        for name, member in value.items():
            shown = name.encode("utf-8", "replace").decode()
            inner = f"{path}.{shown}" if path else shown
            yield from no_text(name, inner)
            yield from no_text(member, inner)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from no_text(member, f"{path}[{index}]")


def _int(value: Any, context: Context) -> int:
    if value.__class__ is not int:
        raise WrongValue(f"a whole number is expected, not {shown_type(value)}")
    if not INT_MIN <= value <= INT_MAX:
        raise WrongValue(f"{value} does not fit into 32 bits")
    return int(value)


def _flag(value: Any, context: Context) -> bool:
    if value.__class__ is not bool:
        raise WrongValue(f"true or false is expected, not {shown_type(value)}")
    return bool(value)


def _enum(attribute: Attribute) -> Convert:
    assert attribute.enum is not None
    enum = attribute.enum
    known = enum.known

    def read(value: Any, context: Context) -> str:
        if value in known:
            return str(value)
        if value.__class__ is not str or not value:
            raise WrongValue(f"a word of {enum.name} is expected, not {shown_type(value)}")
        if value.lower() in known:
            return str(value.lower())
        if enum.closed:
            raise WrongValue(f"{value!r} is not in {enum.name}: {', '.join(enum.words)}")
        return str(value)

    return read


def _part(attribute: Attribute) -> Convert:
    assert attribute.part is not None
    if attribute.part.pair:
        return typed(attribute.part.pair, mere_name=MERE_NAMES.get(attribute.part.name, ""))
    members = {one.mutagen: (one.name, _convert(one)) for one in attribute.part.attributes}
    mandatory = [(one.name, one.mutagen) for one in attribute.part.attributes if one.mandatory]

    def read(value: Any, context: Context) -> dict[str, Any]:
        if value.__class__ is not dict:
            raise WrongValue(f"an object is expected, not {shown_type(value)}")
        part: dict[str, Any] = {}
        for name, stated in value.items():
            known = members.get(name)
            if known is None:
                raise WrongValue("unknown attribute", name)
            if stated is not None:
                try:
                    part[known[0]] = known[1](stated, context)
                except WrongValue as problem:
                    raise problem.within(name) from None
        for name, shown in mandatory:
            if name not in part:
                raise WrongValue("is missing", shown)
        return part

    return read


def _list(attribute: Attribute) -> Convert:
    part = attribute.part
    if part is None:
        return _members(REFERENCES[attribute.of])
    if part.name == "SkillLevel":
        levels = _map(REFERENCES["CfgSkill"], "skillDBID", _int, "level")
        return _either(levels, _members(_part(attribute)))
    if part.name == "AppRank":
        app_type, rank = part.by_name["appType"], part.by_name["appRank"]
        ranks = _map(_convert(app_type), "appType", _convert(rank), "appRank")
        return _either(ranks, _members(_part(attribute)))
    if part.name == "Subcode":
        codes = _map(lambda name, _: text(name), "name", _string(0), "code")
        return _either(codes, _members(_part(attribute)))
    return _members(_part(attribute))


def _either(of_map: Convert, of_list: Convert) -> Convert:
    """A map of names, or a list where a member has more than a name and a value."""
    return lambda value, context: (of_list if value.__class__ is list else of_map)(value, context)


def _members(convert: Convert) -> Convert:
    def read(value: Any, context: Context) -> list[Any]:
        if value.__class__ is not list:
            raise WrongValue(f"a list is expected, not {shown_type(value)}")
        try:
            return [convert(member, context) for member in value]
        except WrongValue:
            for index, member in enumerate(value):
                step(f"[{index}]", convert, member, context)
            raise

    return read


def _joined(by: str) -> Convert:
    def read(value: Any, context: Context) -> str:
        if value.__class__ is str:
            return str(value)
        if value.__class__ is not list:
            raise WrongValue(f"a list of strings is expected, not {shown_type(value)}")
        return by.join(step(f"[{index}]", text, one) for index, one in enumerate(value))

    return read


def _map(key: Convert, key_name: str, member: Convert, member_name: str) -> Convert:
    def read(value: Any, context: Context) -> list[dict[str, Any]]:
        if value.__class__ is not dict:
            raise WrongValue(f"an object is expected, not {shown_type(value)}")
        found = []
        for name, stated in value.items():
            try:
                pair = {key_name: key(name, context), member_name: member(stated, context)}
            except WrongValue as problem:
                raise problem.within(name) from None
            found.append(pair)
        return found

    return read


def _sections(value: Any, context: Context) -> dict[str, dict[str, Any]]:
    """An annex or options: section, key, value."""
    if value.__class__ is not dict:
        raise WrongValue(f"sections are expected, not {shown_type(value)}")
    for section, pairs in value.items():
        if pairs.__class__ is not dict:
            raise WrongValue(f"a section holds keys, not {shown_type(pairs)}", section)
        for key, stated in pairs.items():
            kind = stated.__class__
            if kind is str:
                if (
                    len(stated) <= OPTION_CHARACTERS_SAFE
                    or len(stated.encode()) <= OPTION_BYTES_MAX
                ):
                    continue
                rule = f"is longer than {OPTION_BYTES_MAX} bytes"
            elif kind is int:
                if INT_MIN <= stated <= INT_MAX:
                    continue
                rule = f"{stated} does not fit into 32 bits"
            elif kind is dict and len(stated) == 1 and isinstance(stated.get("base64"), str):
                continue
            else:
                rule = 'a string, a whole number or {"base64": …} is expected'
            raise WrongValue(rule, f"{section}.{key}")
    return value


FORMS: dict[str, Form] = {cls.mutagen: Form(cls) for cls in CLASSES.values()}
FORM_OF: dict[str, Form] = {form.cls.name: form for form in FORMS.values()}

__all__ = ["FORMS", "FORM_OF", "OWN_SECTIONS", "Form"]
