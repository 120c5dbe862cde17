"""Questions to auth, in pieces and malformed."""

from __future__ import annotations

import pytest

from csp.auth.frames import FRAME_BYTES_MAX, FrameError, take_frames
from csp.resp import request

QUESTION = request("VERIFY", "7", "default", b"p\r\n$3\x00")
PARTS = [b"VERIFY", b"7", b"default", b"p\r\n$3\x00"]


def test_frames_in_pieces_of_every_size() -> None:
    stream = QUESTION * 3
    for size in range(1, len(stream) + 1):
        buffer = bytearray()
        found = []
        for at in range(0, len(stream), size):
            buffer += stream[at : at + size]
            found += take_frames(buffer)
        assert found == [PARTS] * 3
        assert not buffer


@pytest.mark.parametrize(
    "data",
    [b"PING\r\n", b"*1\r\n:1\r\n", b"*-1\r\n", b"*9\r\n", b"*" + b"1" * 20, b"*1\r\n$999999\r\n"],
)
def test_what_is_no_question(data: bytes) -> None:
    with pytest.raises(FrameError):
        take_frames(bytearray(data))


def test_a_question_without_an_end() -> None:
    part = b"$%d\r\n" % (FRAME_BYTES_MAX // 2) + b"x" * (FRAME_BYTES_MAX // 2) + b"\r\n"
    assert take_frames(bytearray(b"*4\r\n" + part)) == []
    with pytest.raises(FrameError):
        take_frames(bytearray(b"*4\r\n" + part * 3))
