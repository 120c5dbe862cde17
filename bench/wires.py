"""Speaks to what writes are measured on: csp's RESP, and etcd's gRPC as far as a Put needs it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import orjson

from bench.exchange import WrongReply
from csp.resp import request

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK, END_STREAM, END_HEADERS = 1, 1, 4
INITIAL_WINDOW = 4  # of the settings
WINDOW = 2**31 - 1 - 65_535


class CspWire:
    """A connection that changes one object again and again."""

    def __init__(self, class_name: str, dbid: int, size: int, password: str) -> None:
        self._class_name = class_name
        self._dbid = dbid
        self._size = size
        self._password = password
        self._left = b""

    def greet(self, peer: socket.socket) -> None:
        """Signs in."""
        peer.sendall(request("AUTH", "default", self._password))
        if peer.recv(64) != b"+OK\r\n":
            raise WrongReply("csp did not let the benchmark in")

    def request(self, number: int) -> bytes:
        """The next value of one option."""
        value = f"{number:012}".ljust(self._size, "x")
        delta = orjson.dumps({"userProperties": {"changed": {"bench": {"padding": value}}}})
        return request("CFG.UPDATE", self._class_name, self._dbid, delta)

    def replies(self, data: bytes) -> tuple[int, bytes]:
        """A revision each."""
        *lines, self._left = (self._left + data).split(b"\r\n")
        for line in lines:
            if not line.startswith(b":"):
                raise WrongReply(f"csp: {line.decode(errors='replace')}")
        return len(lines), b""


class EtcdWire:
    """A connection that puts one key again and again; HTTP/2 frames by hand, for speed."""

    def __init__(self, key: str, size: int) -> None:
        self._key = key.encode()
        self._size = size
        self._stream = -1
        self._headers = _headers(b"/etcdserverpb.KV/Put")
        self._frames = _Frames()

    def greet(self, peer: socket.socket) -> None:
        """Preface, settings, and a window that lasts."""
        window = _frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW))
        peer.sendall(PREFACE + _frame(SETTINGS, 0, 0, b"") + window)

    def request(self, number: int) -> bytes:
        """One Put on a stream of its own."""
        self._stream += 2
        value = f"{number:012}".ljust(self._size, "x").encode()
        body = _message(_field(1, self._key) + _field(2, value))
        return _frame(HEADERS, END_HEADERS, self._stream, self._headers) + _frame(
            DATA, END_STREAM, self._stream, body
        )

    def replies(self, data: bytes) -> tuple[int, bytes]:
        """Counts the streams that ended well."""
        count = 0
        for kind, flags, body in self._frames.take(data):
            if kind in (RST_STREAM, GOAWAY):
                raise WrongReply(f"etcd ended a stream: {body!r}")
            count += kind == HEADERS and bool(flags & END_STREAM)
        return count, self._frames.answer()


class EtcdWatch:
    """A connection that is told of one key's changes, by the stream of a Watch."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._frames = _Frames()
        self._message = b""
        self.events = -1  # the first message says that the watch is there

    def greet(self, peer: socket.socket) -> None:
        """Asks; windows last."""
        settings = _frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 2**31 - 1))
        window = _frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW))
        headers = _frame(HEADERS, END_HEADERS, 1, _headers(b"/etcdserverpb.Watch/Watch"))
        asked = _frame(DATA, 0, 1, _message(_field(1, _field(1, self._key))))
        peer.sendall(PREFACE + settings + window + headers + asked)

    def take(self, data: bytes) -> bytes:
        """Counts whole messages; what is to be sent by itself."""
        for kind, flags, body in self._frames.take(data):
            if kind in (RST_STREAM, GOAWAY) or (kind == HEADERS and flags & END_STREAM):
                raise WrongReply(f"etcd ended the watch: {body!r}")
            if kind == DATA:
                self._count(body)
        return self._frames.answer()

    def _count(self, body: bytes) -> None:
        self._message += body
        while len(self._message) >= 5:
            end = 5 + int.from_bytes(self._message[1:5], "big")
            if len(self._message) < end:
                return
            self._message = self._message[end:]
            self.events += 1


class _Frames:
    """What a connection receives, frame by frame; PING and SETTINGS get their answers."""

    def __init__(self) -> None:
        self._left = b""
        self._answer = b""

    def take(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Kind, flags and body of each frame that is whole; to be run to its end."""
        data = self._left + data
        at = 0
        while len(data) - at >= 9:
            size = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at < 9 + size:
                break
            kind, flags = data[at + 3], data[at + 4]
            body = data[at + 9 : at + 9 + size]
            at += 9 + size
            if kind == PING and not flags & ACK:
                self._answer += _frame(PING, ACK, 0, body)
            elif kind == SETTINGS and not flags & ACK:
                self._answer += _frame(SETTINGS, ACK, 0, b"")
            yield kind, flags, body
        self._left = data[at:]

    def answer(self) -> bytes:
        """What is to be sent for what was taken."""
        answer, self._answer = self._answer, b""
        return answer


def _headers(path: bytes) -> bytes:
    """Those of a call."""
    return b"".join(
        _header(name, value)
        for name, value in (
            *((b":method", b"POST"), (b":scheme", b"http")),
            *((b":path", path), (b":authority", b"127.0.0.1")),
            *((b"content-type", b"application/grpc"), (b"te", b"trailers")),
        )
    )


def _message(content: bytes) -> bytes:
    """A message as gRPC frames it."""
    return b"\0" + struct.pack(">I", len(content)) + content


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return (
        struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body
    )


def _header(name: bytes, value: bytes) -> bytes:
    """A literal that is in no table."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


def _field(number: int, value: bytes) -> bytes:
    size, encoded = len(value), b""
    while size > 127:
        encoded += bytes((size & 127 | 128,))
        size >>= 7
    return bytes((number << 3 | 2,)) + encoded + bytes((size,)) + value
