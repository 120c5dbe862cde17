"""Packs a feed's frames for a long way: one zstd stream a connection, flushed where a slice ends.

Both ends keep the window of what went before, so that a change of one attribute costs little more
than the attribute.  docs/internals/formats.md says how it goes over the wire.

1. What was packed can be unpacked as soon as it is there: every slice ends with a flush.
2. Neither end holds more than a window and PIECE_BYTES at a time, whatever a sender makes of it.
3. After an error an end is of no more use: the feed begins anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from csp.model.feed import FeedError

LEVEL = 1  # the fastest of the usual ones: higher ones save a fifth of the bytes for twice the time
WINDOW_LOG = 18  # 256 KiB: some hundred changes, and the same tables at both ends
PIECE_BYTES = 256 * 1024  # unpacked at a time


class Packer:
    """The sender's end of one connection."""

    def __init__(self) -> None:
        options: dict[int, int] = {
            zstd.CompressionParameter.compression_level: LEVEL,
            zstd.CompressionParameter.window_log: WINDOW_LOG,
        }
        self._stream = zstd.ZstdCompressor(options=options)

    def pack(self, data: bytes | bytearray | memoryview) -> bytes:
        """The next bytes of the stream; with all that came before them they are `data` again."""
        return self._stream.compress(data, mode=zstd.ZstdCompressor.FLUSH_BLOCK)


class Unpacker:
    """The receiver's end of one connection."""

    def __init__(self) -> None:
        self._stream = zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
        )

    def unpack(self, packed: bytes) -> Iterator[bytes]:
        """What was packed, in pieces; it must be run to its end before the next call.

        Raises FeedError.
        """
        data = packed
        while True:
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except (zstd.ZstdError, EOFError) as error:
                raise FeedError(f"packed frames can't be unpacked: {error}") from error
            if piece:
                yield piece
            if not piece or self._stream.needs_input or self._stream.eof:
                return
            data = b""
