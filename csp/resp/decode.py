"""Reads RESP2 and RESP3 from a stream, a piece at a time.

1. What was parsed is not parsed again: a value of ten thousand members that arrives in many pieces
   costs one pass.
2. After an error the decoder is of no more use: the stream has no place to start again from.
3. A value is nested at most DEPTH_MAX deep, and a bulk string is at most `bulk_size_max` long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from csp.resp.values import ErrorReply, Push, Simple, Value, Verbatim

try:
    from csp._fastpath import take_bulks
except ModuleNotFoundError:  # a client installed without the server: the same in Python
    from csp.resp.bulks import take_bulks

DEPTH_MAX = 32  # replies of csp are nested 6 deep at most
BULK_SIZE_MAX = 512 * 1024 * 1024  # what Redis allows
LINE_SIZE_MAX = 64 * 1024
DIGITS_MAX = 4_000  # of a big number; int() takes no more than 4,300
COMPACT_BYTES = 256 * 1024  # consumed bytes are dropped when they are worth a move


class ProtocolError(Exception):
    """What came is not RESP."""


class More(Enum):
    """Says that the value is not all there yet."""

    MORE = "more"


MORE: Final = More.MORE
_BULK = (ord("$"), ord("="), ord("!"))
_MEMBERS = (ord("*"), ord("%"), ord("~"), ord(">"), ord("|"))


@dataclass
class _Frame:
    """A value whose members are still coming."""

    kind: int
    left: int
    members: list[Value] = field(default_factory=list)


class Decoder:
    """Turns bytes into values: `feed` what was received, then iterate."""

    def __init__(self, *, bulk_size_max: int = BULK_SIZE_MAX) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._stack: list[_Frame] = []
        self._bulk_kind = 0
        self._bulk_size = -1  # a bulk string of this size is awaited
        self._bulk_size_max = bulk_size_max

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Takes what was received."""
        if self._at == len(self._buffer):
            self._buffer.clear()
            self._at = 0
        elif self._at > COMPACT_BYTES:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    @property
    def unread_size(self) -> int:
        """Bytes received and not yet part of a value that was returned."""
        return len(self._buffer) - self._at

    def lend(self, take: Callable[[memoryview], tuple[int, bool]]) -> bool:
        """Lets `take` have what is unread, if a value begins there, to take whole values off it.

        It answers how many bytes it took, and whether the rest is a value of its kind that is not
        all there yet: then there is nothing for `next` to do, and this is True.
        """
        if self._stack or self._bulk_size >= 0:
            return False
        with memoryview(self._buffer) as view, view[self._at :] as unread:
            size, is_more = take(unread)
        self._at += size
        return is_more

    def __iter__(self) -> Iterator[Value]:
        """All values that are complete."""
        while True:
            value = self.next()
            if value is MORE:
                return
            yield value

    def next(self) -> Value | More:
        """The next value, or MORE."""
        while True:
            value = self._next_plain()
            if value is MORE:
                return value
            while self._stack:
                frame = self._stack[-1]
                frame.members.append(value)
                frame.left -= 1
                if frame.left and value.__class__ is bytes:
                    self._take_bulks(frame)
                if frame.left:
                    break
                self._stack.pop()
                value = _finish(frame)
                if frame.kind == 0x7C:  # attributes say something about the value that follows
                    break
            else:
                return value

    def _take_bulks(self, frame: _Frame) -> None:
        """Takes the bulk strings that stand there next, whole: most replies are lists of them.

        Whatever else stands there is left to `_next_plain`, which says what is wrong with it.
        """
        members, limit = frame.members, self._bulk_size_max
        before = len(members)
        self._at = take_bulks(self._buffer, self._at, frame.left, limit, members)
        frame.left -= len(members) - before

    def _next_plain(self) -> Value | More:
        """A value without members; opens a frame for each one that has some."""
        while True:
            if self._bulk_size >= 0:
                return self._bulk()
            line = self._line()
            if line is None:
                return MORE
            if not line:
                raise ProtocolError("an empty line where a value should begin")
            kind = line[0]
            if kind in _BULK:
                size = _number(line)
                if size == -1 and kind == 0x24:
                    return None
                if not 0 <= size <= self._bulk_size_max:
                    raise ProtocolError(f"a bulk string of {size} bytes")
                self._bulk_kind, self._bulk_size = kind, size
                return self._bulk()
            elif kind in _MEMBERS:
                count = _number(line)
                if count == -1 and kind == 0x2A:
                    return None
                if count < 0 or len(self._stack) >= DEPTH_MAX:
                    raise ProtocolError(f"{count} members at depth {len(self._stack)}")
                frame = _Frame(kind, count * 2 if kind in (0x25, 0x7C) else count)
                if not frame.left and kind != 0x7C:
                    return _finish(frame)
                if frame.left and kind != 0x7C:
                    self._take_bulks(frame)
                    if not frame.left:
                        return _finish(frame)
                if frame.left:
                    self._stack.append(frame)
            else:
                return _scalar(kind, line)

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", self._at)
        if end < 0:
            if self.unread_size > LINE_SIZE_MAX + 1:  # the last may be half a line end
                raise ProtocolError(f"no line end within {LINE_SIZE_MAX} bytes")
            return None
        if end - self._at > LINE_SIZE_MAX:
            raise ProtocolError(f"no line end within {LINE_SIZE_MAX} bytes")
        line = bytes(self._buffer[self._at : end])
        self._at = end + 2
        return line

    def _bulk(self) -> Value | More:
        end = self._at + self._bulk_size
        if len(self._buffer) < end + 2:
            return MORE
        if self._buffer[end : end + 2] != b"\r\n":
            raise ProtocolError("a bulk string does not end where it said")
        data = bytes(memoryview(self._buffer)[self._at : end])
        self._at = end + 2
        self._bulk_size = -1
        if self._bulk_kind == 0x3D:
            return Verbatim(data[:3].decode("ascii", "replace"), data[4:])
        if self._bulk_kind == 0x21:
            return ErrorReply(data.decode("utf-8", "replace"))
        return data


def _scalar(kind: int, line: bytes) -> Value:
    if kind == 0x2B:
        return Simple(line[1:].decode("utf-8", "replace"))
    if kind == 0x2D:
        return ErrorReply(line[1:].decode("utf-8", "replace"))
    if kind in (0x3A, 0x28):
        return _number(line)
    if kind == 0x5F:
        return None
    if kind == 0x23 and line in (b"#t", b"#f"):
        return line == b"#t"
    if kind == 0x2C:
        try:
            return float(line[1:])
        except ValueError:
            raise ProtocolError(f"not a double: {line[:40]!r}") from None
    raise ProtocolError(f"a value can't begin with {line[:40]!r}")


def _number(line: bytes) -> int:
    digits = line[1:]
    # int() would take spaces, underscores and a plus sign.
    if not (digits.isdigit() or (digits[:1] == b"-" and digits[1:].isdigit())):
        raise ProtocolError(f"not a number: {line[:40]!r}")
    if len(digits) > DIGITS_MAX:
        raise ProtocolError(f"a number of {len(digits)} digits")
    return int(digits)


def _finish(frame: _Frame) -> Value:
    members = frame.members
    if frame.kind == 0x25:
        return dict(zip((_hashable(key) for key in members[::2]), members[1::2], strict=True))
    if frame.kind == 0x3E:
        return Push(members)
    return members


def _hashable(key: Value) -> Value:
    if isinstance(key, list | dict):
        raise ProtocolError("a map whose key is not a plain value")
    return key
