"""Turns objects from the raw form into the model's, as the object table says."""

# 1. A DBID becomes the Node of the file's object that has it; 0 stays 0: none.
# 2. Text that the published tool has turned into a number or a flag is text again.
# 3. Secrets are not taken: a dump shows how they are kept, not what they are.

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from csp.model.types import CLASS_OF_WORD, CLASSES, ENUMS, Attribute, ObjectClass, Part
from csp.transfer.forms import SEVERAL, Form, read_int, read_sections, string_up_to
from csp.transfer.objects import Node, Registry
from csp.transfer.raw.words import (
    BINARY_PAIR,
    DBID,
    FLAG_FALSE,
    FLAG_NONE,
    FLAG_TRUE,
    INT_PAIR,
    SECTION_OF,
    SECTION_PAIR,
    STRING_PAIR,
)
from csp.transfer.references import Context, WrongValue, member, shown_type, step


class RawContext(Context):
    """What a value is read in; look(class, DBID) gives the Node of the object that has it."""

    __slots__ = ("look",)

    def __init__(self, registry: Registry, look: Callable[[str, int], Node]) -> None:
        super().__init__(registry)
        self.look = look

    def refer(self, class_name: str, dbid: int) -> Node:
        """The Node of that object, taken down as referred to."""
        node = self.look(class_name, dbid)
        if node.is_named:  # else what is wrong with it has been said
            self.refs.append(node)
        return node


Convert = Callable[[Any, RawContext], Any]
OBJECT_TYPE = ENUMS["CfgObjectType"]
# Stands beside type and DBID in the published form; one server has no use for it.
SITE_OF_TYPED = "CSID"


def raw_form(cls: ObjectClass) -> Form[RawContext]:
    """How the objects of one class are written."""
    attributes = {one.name: (one.name, converter(one)) for one in cls.attributes}
    for one in cls.attributes:
        if one.typed_by:
            attributes[one.name] = (SEVERAL, _typed((one.typed_by, one.name)))
            del attributes[one.typed_by]  # read with the reference
    return Form(cls, SECTION_OF[cls.name], attributes)


# ---------------------------------------------------------------------- values


def converter(attribute: Attribute) -> Convert:
    """How one attribute's value is read; None: it says nothing."""
    if attribute.secret:
        return lambda value, context: None
    if attribute.type == "ref":
        return _reference(attribute.of)
    if attribute.type == "part":
        return _part(attribute.part)
    if attribute.type == "list":
        return _members(_reference(attribute.of) if attribute.part is None else _part_of(attribute))
    if attribute.type == "enum":
        return _word(attribute)
    return {
        "string": _text(attribute.max), "int": read_int, "flag": _flag, "kvlist": _annex,
    }[attribute.type]  # fmt: skip


def as_text(value: Any) -> Any:
    """The text that was turned into a number or a flag on its way; anything else as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else value


def _text(size_max: int) -> Convert:
    read = string_up_to(size_max)
    return lambda value, context: read(as_text(value), context)


def _flag(value: Any, context: RawContext) -> bool | None:
    if isinstance(value, bool):
        return value
    if value.__class__ is not int or value not in (FLAG_NONE, FLAG_FALSE, FLAG_TRUE):
        raise WrongValue(f"{FLAG_FALSE} (no) or {FLAG_TRUE} (yes) is expected, not {value!r}")
    return None if value == FLAG_NONE else value == FLAG_TRUE


def _word(attribute: Attribute) -> Convert:
    assert attribute.enum is not None
    enum = attribute.enum

    def read(value: Any, context: RawContext) -> str | int:
        if value.__class__ is int:
            word = enum.word_of(value)
            if word is None and enum.closed:
                raise WrongValue(f"{value} is no number of {enum.name}")
            return read_int(value, context) if word is None else word
        if value.__class__ is not str or not value:
            raise WrongValue(f"a number or word of {enum.name} is expected")
        if enum.closed and value not in enum.known:
            raise WrongValue(f"{value!r} is not in {enum.name}: {', '.join(enum.words)}")
        return str(value)

    return read


def _reference(class_name: str) -> Convert:
    def read(value: Any, context: RawContext) -> int:
        if value.__class__ is not int or value < 0:
            raise WrongValue(f"a DBID is expected, not {shown_type(value)}")
        if not value:
            return 0
        return context.refer(class_name, value)

    return read


# ---------------------------------------------------------------------- parts and lists


def unwrapped(value: Any) -> Any:
    """What stands in the one element that is named by its published type, else the value."""
    if isinstance(value, dict) and len(value) == 1:
        (name,) = value
        if name.startswith("Cfg"):
            return value[name]
    return value


def elements(value: Any) -> Iterator[tuple[str, Any]]:
    """The members of a list, each with its path: one alone, or none, is no list in this form."""
    path = ""
    if isinstance(value, dict) and len(value) == 1:
        (path,) = value
        if path == DBID or path.startswith("Cfg"):
            value = value[path]
            if not isinstance(value, list):
                value = [value]
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield f"{path}[{index}]", one
    elif value != "":
        raise WrongValue(f"a list is expected, not {shown_type(value)}")


def _members(convert: Convert) -> Convert:
    def read(value: Any, context: RawContext) -> list[Any]:
        return [step(path, convert, one, context) for path, one in elements(value)]

    return read


def _part_of(attribute: Attribute) -> Convert:
    """A member of a list: what it does not refer to is not stated."""
    read = _part(attribute.part)

    def without_zeros(value: Any, context: RawContext) -> dict[str, Any]:
        assert attribute.part is not None
        found = read(value, context) or {}
        zeros = [one for one in attribute.part.attributes if one.type == "ref"]
        for one in zeros:
            if found.get(one.name) == 0:
                del found[one.name]
        return found

    return without_zeros


def _part(part: Part | None) -> Convert:
    assert part is not None
    known = {one.name: converter(one) for one in part.attributes}
    pair = _typed(part.pair) if part.pair else None
    # A member without its key is looked for among the server's, by what it states.
    mandatory = [one.name for one in part.attributes if one.mandatory and one.name not in part.key]

    def read(value: Any, context: RawContext) -> dict[str, Any] | None:
        if value == "":
            return None
        value = unwrapped(value)
        if not isinstance(value, dict):
            raise WrongValue(f"an object is expected, not {shown_type(value)}")
        found: dict[str, Any] = {}
        for name, stated in value.items():
            if name not in known:
                if pair is not None and name == SITE_OF_TYPED:
                    continue
                raise WrongValue("unknown attribute", name)
            if stated is not None:
                one = step(name, known[name], stated, context)
                if one is not None:
                    found[name] = one
        if pair is not None:
            found |= pair(value, context)
        for name in mandatory:
            if name not in found:
                raise WrongValue("is missing", name)
        return found

    return read


def _typed(pair: tuple[str, ...]) -> Convert:
    """A type, and a DBID of that type."""
    word_name, number_name = pair

    def read(value: Any, context: RawContext) -> dict[str, Any]:
        if not member(value, number_name):
            return {}
        word = step(word_name, type_word, member(value, word_name))
        class_name = CLASS_OF_WORD.get(word)
        if class_name is None:
            raise WrongValue(f"objects of type {word!r} are not supported", word_name)
        node = step(number_name, _reference(class_name), value[number_name], context)
        return {word_name: word, number_name: node}

    return read


def type_word(value: Any) -> str:
    """The word of a published type, stated as number or word."""
    word = OBJECT_TYPE.word_of(value) if value.__class__ is int else value
    if not isinstance(word, str) or word not in OBJECT_TYPE.known:
        raise WrongValue(f"{value!r} is no {OBJECT_TYPE.name}")
    return word


# ---------------------------------------------------------------------- annex and options


def _annex(value: Any, context: RawContext) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path, section in _pairs(value, SECTION_PAIR):
        name, rest = step(path, _keyed, section)
        if name in found:
            raise WrongValue(f"the section {name!r} is there twice", path)
        found[name] = step(path, _section, rest)
    return read_sections(found, context)


def _section(stated: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in stated:
        if kind not in PAIR_VALUES:
            raise WrongValue(f"unknown; a section has {', '.join(PAIR_VALUES)}", kind)
        for path, one in _pairs({kind: stated[kind]}, kind):
            key, rest = step(path, _keyed, one)
            if key in found:
                raise WrongValue(f"the key {key!r} is there twice", path)
            found[key] = step(path, PAIR_VALUES[kind], rest)
    return found


def _pairs(value: Any, kind: str) -> Iterator[tuple[str, Any]]:
    if value == "":
        return
    if not isinstance(value, dict) or set(value) != {kind}:
        raise WrongValue(f"{kind} and nothing else is expected")
    if isinstance(value[kind], list):
        for index, one in enumerate(value[kind]):
            yield f"{kind}[{index}]", one
    else:
        yield kind, value[kind]


def _keyed(value: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(value, dict):
        raise WrongValue(f"an object with a key is expected, not {shown_type(value)}")
    key = as_text(member(value, "key"))
    if not isinstance(key, str):
        raise WrongValue(f"a string is expected, not {shown_type(key)}", "key")
    return key, {name: one for name, one in value.items() if name != "key"}


def _binary(value: dict[str, Any]) -> dict[str, Any]:
    if set(value) != {"base64"}:
        raise WrongValue(
            'a binary value is read as "base64" only: no source says how it is written'
        )
    return value


PAIR_VALUES: dict[str, Callable[[dict[str, Any]], Any]] = {
    STRING_PAIR: lambda value: as_text(member(value, "value")),
    INT_PAIR: lambda value: member(value, "value"),
    BINARY_PAIR: _binary,
}

RAW_FORMS: dict[str, Form[RawContext]] = {
    form.section: form for form in (raw_form(cls) for cls in CLASSES.values())
}  # fmt: skip
