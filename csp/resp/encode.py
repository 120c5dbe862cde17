"""Writes RESP2 and RESP3: requests as arrays of bulk strings, replies from Python values."""

from __future__ import annotations

import math
from collections.abc import Iterable

from csp.resp.values import ErrorReply, Push, Simple, Value, Verbatim

OK = b"+OK\r\n"
QUEUED = b"+QUEUED\r\n"
PONG = b"+PONG\r\n"

Argument = bytes | str | int


def request(*arguments: Argument) -> bytes:
    """One command, or one frame of a channel or feed."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n" % len(data))
        parts.append(data)
        parts.append(b"\r\n")
    return b"".join(parts)


def simple(text: str) -> bytes:
    """A simple string; line ends would break the frame, so they become spaces."""
    return b"+" + _one_line(text) + b"\r\n"


def error(text: str) -> bytes:
    """An error; the word comes first in the text."""
    return b"-" + _one_line(text) + b"\r\n"


def integer(number: int) -> bytes:
    """An integer."""
    return b":%d\r\n" % number


def bulk(data: bytes) -> bytes:
    """A bulk string."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def null(proto: int) -> bytes:
    """An absent value."""
    return b"_\r\n" if proto == 3 else b"$-1\r\n"


def null_array(proto: int) -> bytes:
    """An absent array: what EXEC answers when a watched key has changed."""
    return b"_\r\n" if proto == 3 else b"*-1\r\n"


def array(parts: Iterable[bytes]) -> bytes:
    """An array of replies that are encoded already."""
    items = list(parts)
    return b"*%d\r\n" % len(items) + b"".join(items)


def push(parts: Iterable[bytes], proto: int) -> bytes:
    """A push of parts that are encoded already."""
    items = list(parts)
    return (b">%d\r\n" if proto == 3 else b"*%d\r\n") % len(items) + b"".join(items)


def encode(value: Value, proto: int) -> bytes:
    """Any value; RESP2 shows maps as flat arrays, sets as arrays, booleans as 0 and 1."""
    out: list[bytes] = []
    _append(out, value, proto)
    return b"".join(out)


def _append(out: list[bytes], value: Value, proto: int) -> None:
    # Text first: it is what almost all values are.
    if isinstance(value, bytes):
        out.append(bulk(value))
    elif isinstance(value, str):
        out.append(_text(value))
    elif value is None:
        out.append(null(proto))
    elif isinstance(value, bool):
        out.append((b"#t\r\n" if value else b"#f\r\n") if proto == 3 else b":%d\r\n" % value)
    elif isinstance(value, int):
        out.append(b":%d\r\n" % value)
    elif isinstance(value, float):
        out.append(_double(value, proto))
    elif isinstance(value, Verbatim):
        out.append(_verbatim(value, proto))
    else:
        _append_members(out, value, proto)


def _append_members(
    out: list[bytes],
    value: list[Value] | tuple[Value, ...] | dict[Value, Value] | frozenset[Value],
    proto: int,
) -> None:
    if isinstance(value, dict):
        out.append(b"%%%d\r\n" % len(value) if proto == 3 else b"*%d\r\n" % (2 * len(value)))
        for pair in value.items():
            for part in pair:
                # A map is mostly plain text and numbers: thousands that sign in get one each.
                if type(part) is str:
                    text = part.encode()
                    out.append(b"$%d\r\n%b\r\n" % (len(text), text))
                elif type(part) is int:
                    out.append(b":%d\r\n" % part)
                else:
                    _append(out, part, proto)
        return
    mark = b"*"
    if proto == 3 and isinstance(value, Push):
        mark = b">"
    elif proto == 3 and isinstance(value, frozenset):
        mark = b"~"
    out.append(b"%b%d\r\n" % (mark, len(value)))
    for member in value:
        _append(out, member, proto)


def _text(value: str) -> bytes:
    if isinstance(value, Simple):
        return simple(value)
    if isinstance(value, ErrorReply):
        return error(value)
    return bulk(value.encode())


def _double(value: float, proto: int) -> bytes:
    if math.isnan(value):
        text = b"nan"
    elif math.isinf(value):
        text = b"inf" if value > 0 else b"-inf"
    else:
        text = repr(value).removesuffix(".0").encode()
    return b",%b\r\n" % text if proto == 3 else bulk(text)


def _verbatim(value: Verbatim, proto: int) -> bytes:
    if proto == 2:
        return bulk(value.text)
    data = value.format.encode() + b":" + value.text
    return b"=%d\r\n%b\r\n" % (len(data), data)


def _one_line(text: str) -> bytes:
    return text.replace("\r", " ").replace("\n", " ").encode(errors="surrogateescape")
