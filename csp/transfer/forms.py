"""Turns objects from the form that files have into the model's, as the object table says."""

# mutagen's form names an attribute without its DBID (`tenant`, `agents`), names objects where the
# model has DBIDs, and writes skill levels and ranks as maps.  csp's own form has, by the same
# conventions, every attribute and class of the table.

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

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
C = TypeVar("C", bound=Context)

INT_MIN, INT_MAX = -(1 << 31), (1 << 32) - 1  # published integers are signed or unsigned
OPTION_INT_MAX = (1 << 31) - 1  # those of annexes are signed
OPTION_BYTES_MAX = 64 * 1024
OPTION_CHARACTERS_SAFE = OPTION_BYTES_MAX // 4  # so many never have more bytes
SURROGATE = re.compile("[\ud800-\udfff]")

# What `formatName` says of a file in csp's own form.
OWN_FORM = "CSP"
# Under this name `__metadata__` says what tenant 1 is called where the file comes from.
ENVIRONMENT_NAME = "environment"
# Sections that mutagen does not have.
OWN_SECTIONS = frozenset((
    "agentLogins", "statDays", "statTables", "formats", "tableAccesses", "callingLists",
    "treatments", "filters", "timeZones", "voicePrompts", "ivrPorts", "objectiveTables",
    "scheduledTasks",
))  # fmt: skip
# What a mere name means in a part that says a type; elsewhere the type stands before it.
MERE_NAMES = {"Member": "person", "OwnerID": "tenant", "Account": "person"}
# Lists that files write as maps: the names of key and value in the file's form.
MAPS = {
    "SkillLevel": ("skill", "level"),
    "AppRank": ("appType", "appRank"),
    "Subcode": ("name", "code"),
}
SEVERAL = ""  # in place of an attribute's name: the value is a dictionary of attributes


class Form(Generic[C]):
    """How the objects of one class are written in files."""

    def __init__(
        self,
        cls: ObjectClass,
        section: str,
        attributes: Mapping[str, tuple[str, Callable[[Any, C], Any]]],
    ) -> None:
        self.cls = cls
        self.section = section
        self.attributes = attributes  # by their names in files: name in the model, how it is read
        self.derived = frozenset(one.name for one in cls.attributes if one.derived)

    def read(
        self, value: dict[str, Any], context: C, report: Callable[[str, WrongValue], None]
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
                elif found is not None:
                    body[known[0]] = found
            except WrongValue as problem:
                report(name, problem)
        for name in self.derived:
            body.pop(name, None)
        return body


def _named_form(cls: ObjectClass) -> Form[Context]:
    """The form that names objects."""
    attributes: dict[str, tuple[str, Convert]] = {}
    for attribute in cls.attributes:
        name = SEVERAL if attribute.typed_by else attribute.name
        if attribute.name != "ownerID" or cls.name != "CfgFolder":
            attributes[attribute.mutagen] = (name, _convert(attribute))
    for attribute in cls.attributes:
        if attribute.typed_by:
            del attributes[attribute.typed_by]  # it stands in the reference
    attributes["folder"] = ("folderDBID", read_own_folder)
    return Form(cls, cls.mutagen, attributes)


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
        return read_sections
    return {"string": string_up_to(attribute.max), "int": read_int, "flag": _flag}[attribute.type]


def string_up_to(size_max: int) -> Convert:
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


def read_int(value: Any, context: Context) -> int:
    if value.__class__ is float:
        rule = f"{value!r} is written with a fraction or exponent; a whole number is expected"
        raise WrongValue(f"{rule}, {value:.0f}" if value.is_integer() else rule)
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
        if value.__class__ is not str or not value:
            raise WrongValue(f"a word of {enum.name} is expected, not {shown_type(value)}")
        if value in known:
            return str(value)
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
    members = _members(_part(attribute))
    names = MAPS.get(part.name)
    if names is None:
        return members
    by_file_name = {one.mutagen: one for one in part.attributes}
    key, value = (by_file_name[name] for name in names)
    return _either(_map(_map_key(key), key.name, _convert(value), value.name), members)


def _map_key(attribute: Attribute) -> Convert:
    read = _convert(attribute)
    if attribute.type != "string":
        return read
    return lambda name, context: read(text(name), context)


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


def read_sections(value: Any, context: Context) -> dict[str, dict[str, Any]]:
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
                if INT_MIN <= stated <= OPTION_INT_MAX:
                    continue
                rule = f"{stated} is not from {INT_MIN} to {OPTION_INT_MAX}"
            elif kind is dict and len(stated) == 1 and isinstance(stated.get("base64"), str):
                continue
            else:
                rule = 'a string, a whole number or {"base64": …} is expected'
            raise WrongValue(rule, f"{section}.{key}")
    return value


FORMS: dict[str, Form[Context]] = {cls.mutagen: _named_form(cls) for cls in CLASSES.values()}
FORM_OF: dict[str, Form[Context]] = {form.cls.name: form for form in FORMS.values()}

__all__ = [
    "ENVIRONMENT_NAME",
    "FORMS",
    "FORM_OF",
    "MAPS",
    "MERE_NAMES",
    "OWN_FORM",
    "OWN_SECTIONS",
    "SEVERAL",
    "Form",
    "no_text",
    "read_int",
    "read_sections",
    "string_up_to",
]
