"""Chooses what decodes replies: hiredis where it is installed, else csp.resp."""

# 1. Both give the same: texts of any kind are bytes, an error is a CspError.
# 2. hiredis knows no bulk errors and shows attributes as values; a csp server sends neither.

from __future__ import annotations

from typing import Protocol

from csp.client.problems import error_of
from csp.errors import from_line
from csp.resp import MORE, Decoder, ErrorReply, ProtocolError, Push, Simple, Verbatim

try:
    import hiredis
except ImportError:
    hiredis = None  # type: ignore[assignment]


class ReplyDecoder(Protocol):
    """Takes bytes, gives values; MORE where none is complete."""

    def feed(self, data: bytes) -> None: ...

    def next(self) -> object: ...


class HiredisDecoder:
    """Decodes in C."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(
            protocolError=ProtocolError, replyError=from_line, notEnoughData=MORE
        )
        self.feed = self._reader.feed

    def next(self) -> object:
        value = self._reader.gets()
        return Push(value) if isinstance(value, hiredis.PushNotification) else value


class PythonDecoder:
    """Decodes in Python."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self.feed = self._decoder.feed

    def next(self) -> object:
        return _levelled(self._decoder.next())


def new_decoder() -> ReplyDecoder:
    """The faster decoder of those that are there."""
    return HiredisDecoder() if hiredis is not None else PythonDecoder()


def _levelled(value: object) -> object:
    """Kinds of text that hiredis doesn't tell apart become bytes; an error becomes a CspError."""
    match value:
        case bytes():
            return value
        case ErrorReply():
            return error_of(value)
        case Simple():
            return value.encode()
        case Verbatim():
            return value.text
        case Push():
            return Push(_levelled(member) for member in value)  # type: ignore[misc]
        case list():
            return [each if type(each) is bytes else _levelled(each) for each in value]
        case dict():
            return {_levelled(key): _levelled(member) for key, member in value.items()}
    return value
