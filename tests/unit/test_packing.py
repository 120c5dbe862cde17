"""Packs a feed's frames: any slices come out as the same bytes, and no sender fills the memory."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.model.feed import FeedError
from csp.model.packing import PIECE_BYTES, Packer, Unpacker


@given(st.lists(st.binary(max_size=3_000), max_size=12))
def test_each_slice_is_there_at_once(slices: list[bytes]) -> None:
    packer, unpacker = Packer(), Unpacker()
    for data in slices:
        assert b"".join(unpacker.unpack(packer.pack(data))) == data


def test_what_went_before_makes_the_next_one_small() -> None:
    packer = Packer()
    data = random.Random(1).randbytes(2_000)
    first = packer.pack(data)
    assert len(first) >= len(data)
    assert len(packer.pack(data[:1_000] + b"X" + data[1_001:])) < 60


def test_a_bomb_comes_out_in_pieces() -> None:
    packed = Packer().pack(bytes(64 * PIECE_BYTES))
    assert len(packed) < PIECE_BYTES // 10
    pieces = [len(piece) for piece in Unpacker().unpack(packed)]
    assert sum(pieces) == 64 * PIECE_BYTES
    assert max(pieces) <= PIECE_BYTES


@pytest.mark.parametrize("cut", [0, 5])
def test_what_is_no_stream_is_refused(cut: int) -> None:
    packed = bytearray(Packer().pack(random.Random(2).randbytes(1_000)))
    packed[cut] ^= 0xFF
    with pytest.raises(FeedError, match="can't be unpacked"):
        list(Unpacker().unpack(bytes(packed)))


def test_bytes_behind_the_end_of_a_stream_are_refused() -> None:
    unpacker = Unpacker()
    whole = Packer()._stream.compress(b"one", mode=2)  # a sender that ends its stream
    assert b"".join(unpacker.unpack(whole)) == b"one"
    with pytest.raises(FeedError):
        list(unpacker.unpack(Packer().pack(b"two")))


def test_a_window_larger_than_ours_is_refused() -> None:
    wide = Packer.__new__(Packer)
    from csp.model.packing import zstd

    options = {zstd.CompressionParameter.window_log: 24}
    wide._stream = zstd.ZstdCompressor(options=options)
    with pytest.raises(FeedError):
        list(Unpacker().unpack(wide.pack(random.Random(3).randbytes(1 << 20))))
