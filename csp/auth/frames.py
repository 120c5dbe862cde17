"""Cuts a stream of questions into frames: arrays of bulk strings, and nothing else of RESP.

A repeat of a sign-in may cost 50 µs in all, and the general decoder takes 30 of them.
"""

from __future__ import annotations

FRAME_BYTES_MAX = 64 * 1024  # a user name and a password of 16 kB each, before sign-in
PARTS_MAX = 8
LINE_BYTES_MAX = 16


class FrameError(Exception):
    """What came is no question."""


def take_frames(buffer: bytearray) -> list[list[bytes]]:
    """Takes all whole frames off the front of the buffer."""
    frames = []
    begin = 0
    while begin < len(buffer):
        end, parts = _take_frame(buffer, begin)
        if end < 0:
            break
        frames.append(parts)
        begin = end
    del buffer[:begin]
    if len(buffer) > FRAME_BYTES_MAX:
        raise FrameError(f"a question of more than {FRAME_BYTES_MAX} bytes")
    return frames


def _take_frame(buffer: bytearray, at: int) -> tuple[int, list[bytes]]:
    """The end of the frame that begins at `at`, and its parts; -1 if it is not all there."""
    at, count = _take_number(buffer, at, b"*")
    if count > PARTS_MAX:
        raise FrameError(f"a question of {count} parts")
    parts: list[bytes] = []
    while at >= 0 and len(parts) < count:
        at, size = _take_number(buffer, at, b"$")
        if at < 0:
            break
        if size > FRAME_BYTES_MAX:
            raise FrameError(f"a part of {size} bytes")
        if at + size + 2 > len(buffer):
            return -1, parts
        parts.append(bytes(buffer[at : at + size]))
        at += size + 2
    return at, parts


def _take_number(buffer: bytearray, at: int, kind: bytes) -> tuple[int, int]:
    """The end of a header line and its number; -1 if the line is not all there."""
    end = buffer.find(b"\r\n", at, at + LINE_BYTES_MAX)
    if end < 0:
        if len(buffer) - at >= LINE_BYTES_MAX:
            raise FrameError("a header line without an end")
        return -1, 0
    text = buffer[at + 1 : end]
    if buffer[at : at + 1] != kind or not text.isdigit():
        raise FrameError(f"a header line {bytes(buffer[at:end])!r}")
    return end + 2, int(text)
