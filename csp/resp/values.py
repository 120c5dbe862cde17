"""The values that RESP has and Python has not: simple strings, errors, pushes, verbatim texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


class Simple(str):
    """A simple string such as `OK`: one line, no bytes that are not text."""

    __slots__ = ()


class ErrorReply(str):
    """An error as it stands on the wire, word first: `BADVALUE LIMIT is not a number`."""

    __slots__ = ()

    @property
    def word(self) -> str:
        """The stable first word."""
        return self.partition(" ")[0]

    @property
    def text(self) -> str:
        """What follows the word."""
        return self.partition(" ")[2]


class Push(list["Value"]):
    """An out-of-band message of RESP3; in RESP2 it is an array."""

    __slots__ = ()


@dataclass(frozen=True)
class Verbatim:
    """A text with its format (`txt`, `mkd`); in RESP2 it is a bulk string."""

    format: str
    text: bytes


Value: TypeAlias = (
    "bool | int | float | str | bytes | Verbatim"
    " | list[Value] | tuple[Value, ...] | dict[Value, Value] | frozenset[Value] | None"
)
