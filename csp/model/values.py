"""Checks one value of an object against its attribute: shape, range, words, lengths.

1. A check returns the value as it is stored: parts in table order, nothing null, published numbers
   turned into words.
2. Strings are kept as sent; only what is no UTF-8 text, holds a NUL or is too long is refused.
3. An error names the attribute's path, the value (never a secret one) and the rule.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from csp.errors import BadValue, Mandatory, NoRef, TooBig
from csp.model.types import MAX_DBID, MAX_NAME, Attribute, Enumeration, Part

MAX_OPTION_VALUE = 64 * 1024
MAX_BINARY_VALUE = 16 * 1024 * 1024
MIN_INT, MAX_INT = -(2**31), 2**31 - 1
# How much of a refused value an error shows, and how deep into it.
SHOWN = 60
SHOWN_LEVELS = 8


@dataclass(slots=True)
class Context:
    """What a check may need beside the value, and the warnings that it leaves."""

    strict: bool = False
    # "@k" -> the DBID that the k-th command of the transaction creates.
    created: Mapping[int, int] | None = None
    warnings: list[str] = field(default_factory=list)


Check = Callable[[Any, str, Context], Any]


def shown(value: Any) -> str:
    """A value as an error may quote it: its beginning, whatever its size and depth."""
    if isinstance(value, str):
        return _cut(repr(value[: SHOWN + 1]))
    text = ""
    for piece in _pieces(value, SHOWN_LEVELS):
        text += piece
        if len(text) > SHOWN:
            break
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _pieces(value: Any, levels: int) -> Iterator[str]:
    """A value's JSON bit by bit, so that nobody pays for more than is shown."""
    if isinstance(value, str):
        yield json.dumps(value[: SHOWN + 1], ensure_ascii=False)
    elif not isinstance(value, list | dict):
        yield json.dumps(value, default=repr)
    elif not levels:
        yield "…"
    elif isinstance(value, list):
        yield "["
        for at, one in enumerate(value):
            yield ", " if at else ""
            yield from _pieces(one, levels - 1)
        yield "]"
    else:
        yield "{"
        for at, (name, one) in enumerate(value.items()):
            yield f"{', ' if at else ''}{json.dumps(name[: SHOWN + 1], ensure_ascii=False)}: "
            yield from _pieces(one, levels - 1)
        yield "}"


def check_text(value: Any, path: str, most: int = 0) -> str:
    """A string: UTF-8, no NUL, at most so many characters."""
    if not isinstance(value, str):
        raise BadValue(f"{path}: {shown(value)} is not a string")
    if "\0" in value:
        raise BadValue(f"{path}: a string holds no NUL")
    if most and len(value) > most:
        raise TooBig(f"{path}: {len(value)} characters, at most {most} are allowed")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadValue(f"{path}: the string is not valid UTF-8") from None
    return value


def check_int(value: Any, path: str, context: Context) -> int:
    """A 32-bit integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadValue(f"{path}: {shown(value)} is not an integer")
    if not MIN_INT <= value <= MAX_INT:
        raise BadValue(f"{path}: {value} is not a 32-bit integer")
    return value


def check_flag(value: Any, path: str, context: Context) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise BadValue(f"{path}: {shown(value)} is neither true nor false")
    return value


def check_ref(value: Any, path: str, context: Context) -> int:
    """A DBID; 0 means none; "@k" is the object that the k-th command creates."""
    if isinstance(value, str) and value.startswith("@") and context.created is not None:
        number = value[1:]
        found = context.created.get(int(number)) if number.isascii() and number.isdigit() else None
        if found is None:
            raise NoRef(f"{path}: {shown(value)} names no command of this transaction that creates")
        return found
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_DBID:
        raise BadValue(f"{path}: {shown(value)} is not a DBID")
    return value


def _enum(enum: Enumeration, among: tuple[str, ...]) -> Check:
    known = _word(enum)
    if not among:
        return known

    def check(value: Any, path: str, context: Context) -> str | int:
        word: str | int = known(value, path, context)
        if word not in among:
            raise BadValue(f"{path}: {shown(value)} is none of {', '.join(among)}")
        return word

    return check


def _word(enum: Enumeration) -> Check:
    def check(value: Any, path: str, context: Context) -> str | int:
        if isinstance(value, str):
            if value in enum.known:
                return value
            check_text(value, path, MAX_NAME)
        else:
            word = enum.word_of(check_int(value, path, context))
            if word is not None:
                return word
        if enum.closed:
            words = ", ".join(enum.words[:8]) + (", …" if len(enum.words) > 8 else "")
            raise BadValue(f"{path}: {shown(value)} is no {enum.name} ({words})")
        if context.strict:
            raise BadValue(f"{path}: {shown(value)} is no known {enum.name}")
        context.warnings.append(f"{path}: {shown(value)} is no known {enum.name}, kept as it is")
        found: str | int = value
        return found

    return check


def _option_value(value: Any, path: str) -> Any:
    if isinstance(value, str):
        check_text(value, path)
        size = len(value) if value.isascii() else len(value.encode())
        if size > MAX_OPTION_VALUE:
            raise TooBig(f"{path}: {size} bytes, at most {MAX_OPTION_VALUE} are allowed")
        return value
    if isinstance(value, dict):
        if set(value) != {"base64"} or not isinstance(value["base64"], str):
            raise BadValue(f'{path}: a binary value is {{"base64":"…"}}')
        try:
            size = len(binascii.a2b_base64(value["base64"], strict_mode=True))
        except (binascii.Error, ValueError):
            raise BadValue(f"{path}: the value is not base64") from None
        if size > MAX_BINARY_VALUE:
            raise TooBig(f"{path}: {size} bytes, at most {MAX_BINARY_VALUE} are allowed")
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadValue(f"{path}: {shown(value)} is neither a string, an integer nor base64")
    return check_int(value, path, Context())


def check_section(section: Any, path: str) -> dict[str, Any]:
    """One section of a key-value list."""
    if not isinstance(section, dict):
        raise BadValue(f"{path}: a section is an object of keys and values")
    for key, value in section.items():
        # The usual case, short ASCII text, without a call.
        if type(value) is str and len(value) < 1024 and value.isascii() and "\0" not in value:
            if len(key) > MAX_NAME or not key.isascii() or "\0" in key:
                check_text(key, f"{path}: a key", MAX_NAME)
            continue
        check_text(key, f"{path}: a key", MAX_NAME)
        _option_value(value, f"{path}.{key}")
    return section


def check_kvlist(value: Any, path: str, context: Context) -> dict[str, Any]:
    """A two-level list: section, key, value."""
    if not isinstance(value, dict):
        raise BadValue(f"{path}: {shown(value)} is not an object of sections")
    for name, section in value.items():
        check_text(name, f"{path}: a section", MAX_NAME)
        check_section(section, f"{path}.{name}")
    return value


def _string(most: int) -> Check:
    return lambda value, path, context: check_text(value, path, most)


def _part(part: Part) -> Check:
    checks = tuple((one.name, one, check_of(one)) for one in part.attributes)

    def check(value: Any, path: str, context: Context) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BadValue(f"{path}: {shown(value)} is not an object")
        found = {}
        for name, one, test in checks:
            if name in value:
                given = value[name]
                if given is not None and (given or not is_list(one)):
                    found[name] = test(given, f"{path}.{name}", context)
        if not value.keys() <= part.by_name.keys():
            refuse_unknown(value, part.by_name, path)
        return found

    return check


def is_list(attribute: Attribute) -> bool:
    """Is an empty value of this attribute the same as none?"""
    return attribute.type in ("list", "kvlist")


def refuse_unknown(value: Mapping[str, Any], known: Mapping[str, Attribute], path: str) -> None:
    """Raises for what is stated and is no attribute."""
    for name in value:
        if name not in known:
            raise BadValue(f"{path} has no attribute {shown(name)}")


def member_key(part: Part, member: Mapping[str, Any]) -> tuple[Any, ...]:
    """What names a member in its keyed list; absent is the same as 0 and ""."""
    return tuple(member.get(name) or 0 for name in part.key)


def key_text(part: Part, key: tuple[Any, ...]) -> str:
    """A member's key for an error."""
    return ", ".join(f"{name} {shown(value)}" for name, value in zip(part.key, key, strict=True))


def check_mandatory(part: Part, value: Mapping[str, Any], path: str) -> None:
    """Raises where a part lacks what it must have."""
    for one in part.attributes:
        if one.mandatory and not value.get(one.name):
            raise Mandatory(f"{path}.{one.name} is mandatory")


def _members(part: Part) -> Check:
    test = _part(part)

    def check(value: Any, path: str, context: Context) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise BadValue(f"{path}: {shown(value)} is not a list")
        found, keys = [], set()
        for member in value:
            one = test(member, path, context)
            check_mandatory(part, one, path)
            key = member_key(part, one)
            if key in keys:
                raise BadValue(f"{path}: {key_text(part, key)} is there twice")
            keys.add(key)
            found.append(one)
        return found

    return check


def _refs(value: Any, path: str, context: Context) -> list[int]:
    if not isinstance(value, list):
        raise BadValue(f"{path}: {shown(value)} is not a list")
    found = [check_ref(one, path, context) for one in value]
    if 0 in found:
        raise BadValue(f"{path}: 0 is no DBID of a member")
    if len(set(found)) != len(found):
        twice = next(one for one in found if found.count(one) > 1)
        raise BadValue(f"{path}: {twice} is there twice")
    return found


def check_of(attribute: Attribute) -> Check:
    """The check of an attribute's values."""
    if attribute.type == "string":
        return _string(attribute.max)
    if attribute.type == "enum" and attribute.enum is not None:
        return _enum(attribute.enum, attribute.among)
    if attribute.type == "part" and attribute.part is not None:
        return _part(attribute.part)
    if attribute.type == "list":
        return _members(attribute.part) if attribute.part is not None else _refs
    return _SIMPLE[attribute.type]


_SIMPLE: dict[str, Check] = {
    "int": check_int,
    "flag": check_flag,
    "ref": check_ref,
    "kvlist": check_kvlist,
}
