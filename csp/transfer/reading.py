"""Reads files of objects strictly, one object after the other, whatever their size."""

# 1. A file is UTF-8 without a byte order mark and holds one JSON object: `__metadata__`, and
#    sections, each a list of objects.
# 2. A key stands once in its object.
# 3. At most one object and one chunk of text are held.

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from csp.transfer.problems import Problems

CHUNK_BYTES = 1 << 20  # large enough that most objects lie within one chunk
OBJECT_CHARS_MAX = 64 << 20  # four times the largest object a server takes: beyond it is an error

METADATA = "__metadata__"
BLANK = re.compile(r"[ \t\r\n]*")
COMMA_ALONE = "a comma with nothing after it"
DIGITS = "set_int_max_str_digits"  # what Python says of a number that it does not read
BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(slots=True)
class RawObject:
    """One member of one section, as the file says it."""

    file: str
    section: str
    index: int
    line: int
    value: dict[str, Any]
    form: str  # of its file; empty for bare objects
    variables: bool  # some string may hold "${"
    escapes: bool  # some character is written as \\uXXXX: only so can it be no text


class _Malformed(Exception):
    """The text is not what it must be at this position."""

    def __init__(self, rule: str, at: int) -> None:
        super().__init__(rule)
        self.rule = rule
        self.at = at


class _NotUtf8(Exception):
    """Bytes that are not UTF-8."""


class _Twice(dict[str, Any]):
    """An object in which a key stands twice."""

    key = ""


def _once(value: Any) -> Any:
    """The value as if no key stood twice, so that what else is wrong with it can be found."""
    if isinstance(value, dict):
        return {key: _once(member) for key, member in value.items()}
    return [_once(member) for member in value] if isinstance(value, list) else value


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class Reader:
    """The objects of one file; metadata holds what `__metadata__` said."""

    def __init__(
        self,
        file: str,
        stream: BinaryIO,
        problems: Problems,
        *,
        on_section: Callable[[str], None] = lambda name: None,
    ) -> None:
        """on_section is told each section's name before its objects, `__metadata__` when read."""
        self.file = file
        self._on_section = on_section
        self.metadata: dict[str, Any] = {}
        self._stream = stream
        self._problems = problems
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._line = 1
        self._counted = 0  # up to here _line counts the line ends
        self._bytes = 0
        self._ended = False
        self._twice = False
        self._json = json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=_reject_constant
        )

    def objects(self, section: str | None = None) -> Iterator[RawObject]:
        """All objects; section: take the file as one bare object (or a list) of that section."""
        try:
            if section is None:
                yield from self._file()
            else:
                yield from self._bare(section)
        except _Malformed as problem:
            line = self._line + self._text.count("\n", self._counted, problem.at)
            column = problem.at - self._text.rfind("\n", 0, problem.at)
            self._problems.add(self.file, f"line {line} column {column}: {problem.rule}")
        except _NotUtf8 as problem:
            self._problems.add(self.file, str(problem))

    # ------------------------------------------------------------------ structure

    def _file(self) -> Iterator[RawObject]:
        seen: set[str] = set()
        self._first("{", "the file must hold one JSON object")
        if self._take("}"):
            self._problems.add(self.file, f"there is no {METADATA}, which says the form")
            return self._end()
        while True:
            self._skip_blank()
            at = self._at
            if seen and self._peek() == "}":
                raise _Malformed(COMMA_ALONE, at)
            name = self._value('"', "a section's name is a string")
            if name in seen:
                raise _Malformed(f"the key {name!r} is there twice", at)
            seen.add(name)
            self._expect(":")
            if name == METADATA:
                self.metadata = self._value("{", f"{METADATA} is an object")
                self._report_twice(self.metadata, METADATA, METADATA)
            elif METADATA not in seen:
                raise _Malformed(f"{METADATA} must come first: it says the form", at)
            self._on_section(name)
            if name != METADATA:
                yield from self._section(name)
            if not self._take(","):
                break
        self._expect("}")
        self._end()

    def _bare(self, section: str) -> Iterator[RawObject]:
        self._skip_blank()
        if self._peek() == "[":
            yield from self._section(section)
        else:
            yield self._member(section, 0)
        self._end()

    def _section(self, name: str) -> Iterator[RawObject]:
        self._first("[", f"{name} must be a list of objects")
        if self._take("]"):
            return
        index = 0
        while True:
            yield self._member(name, index)
            index += 1
            if not self._take(","):
                break
        self._expect("]")

    def _member(self, section: str, index: int) -> RawObject:
        self._discard()
        self._skip_blank()
        start = self._at
        self._line += self._text.count("\n", self._counted, start)
        self._counted = start
        line = self._line
        if index and self._peek() == "]":
            raise _Malformed(COMMA_ALONE, start)
        value = self._value("{", f"a member of {section} must be an object")
        if self._twice:
            self._report_twice(value, f"{section}[{index}] (line {line})", "")
            value = _once(value)
        escapes = self._text.find("\\u", start, self._at) >= 0
        variables = escapes or self._text.find("${", start, self._at) >= 0
        form = str(self.metadata.get("formatName", ""))
        return RawObject(self.file, section, index, line, value, form, variables, escapes)

    # ------------------------------------------------------------------ tokens

    def _value(self, first: str, rule: str) -> Any:
        self._skip_blank()
        if self._peek() != first:
            raise _Malformed(rule, self._at)
        while True:
            try:
                value, self._at = self._json.raw_decode(self._text, self._at)
                return value
            except json.JSONDecodeError as problem:
                # The text may merely end within the value.
                if self._ended or len(self._text) - self._at > OBJECT_CHARS_MAX:
                    raise _Malformed(problem.msg, problem.pos) from None
                self._fill(max(CHUNK_BYTES, len(self._text) - self._at))
            except RecursionError:
                raise _Malformed("nested too deeply", self._at) from None
            except ValueError as problem:
                rule = str(problem)
                if DIGITS in rule:
                    rule = "a number has thousands of digits; none may have more than twenty"
                raise _Malformed(rule, self._at) from None

    def _first(self, char: str, rule: str) -> None:
        if not self._take(char):
            raise _Malformed(rule, self._at)

    def _expect(self, char: str) -> None:
        if not self._take(char):
            raise _Malformed(f"{char!r} expected", self._at)

    def _take(self, char: str) -> bool:
        self._skip_blank()
        if self._peek() != char:
            return False
        self._at += 1
        return True

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip_blank(self) -> None:
        while True:
            match = BLANK.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or self._ended:
                return
            self._fill(CHUNK_BYTES)

    def _end(self) -> None:
        self._skip_blank()
        if self._at < len(self._text):
            raise _Malformed("more text after the end of the object", self._at)

    # ------------------------------------------------------------------ text

    def _fill(self, size: int) -> None:
        data = self._stream.read(size)
        if self._bytes == 0 and data.startswith(BOMS):
            self._ended = True
            raise _Malformed("begins with a byte order mark; save it as UTF-8 without one", 0)
        if self._bytes == 0 and b"\0" in data[:2]:
            self._ended = True
            raise _Malformed("every other byte is 0, as in UTF-16; save it as UTF-8", 0)
        begin = self._bytes - len(self._decoder.getstate()[0])
        try:
            self._text += self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as problem:
            rule = f"not UTF-8 at byte {begin + problem.start}: {problem.reason}"
            raise _NotUtf8(rule) from None
        self._bytes += len(data)
        self._ended = not data

    def _discard(self) -> None:
        if self._at >= CHUNK_BYTES:
            self._line += self._text.count("\n", self._counted, self._at)
            self._text = self._text[self._at :]
            self._at = self._counted = 0

    # ------------------------------------------------------------------ keys that stand twice

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) == len(pairs):
            return value
        twice = _Twice(value)
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                twice.key = key
            seen.add(key)
        self._twice = True
        return twice

    def _report_twice(self, value: Any, where: str, path: str) -> None:
        self._twice = False
        if isinstance(value, _Twice):
            inner = f"{path}.{value.key}" if path else value.key
            rule = f"the key {value.key!r} is there twice"
            self._problems.add(self.file, rule, object=where, path=inner)
        if isinstance(value, dict):
            for key, member in value.items():
                self._report_twice(member, where, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for index, member in enumerate(value):
                self._report_twice(member, where, f"{path}[{index}]")
