"""Gathers one feed's frames and packs them, a slice at a time.

1. A frame larger than a slice goes out in several: what is unpacked at the other end is a stream,
   whose frames need not end where a slice does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from csp.model.packing import Packer


class Packing:
    """The frames of one feed that are built and not sent."""

    def __init__(self) -> None:
        # A worker that feeds nobody does without the library.
        from csp.model.packing import Packer

        self._packer: Packer = Packer()
        self._held = bytearray()

    @property
    def has_more(self) -> bool:
        """Whether something is left to be packed."""
        return bool(self._held)

    def fill(self, frames: Iterator[bytes], slice_bytes: int) -> int:
        """Builds frames until there is a slice; how many bytes the next slice has."""
        while len(self._held) < slice_bytes:
            frame = next(frames, None)
            if frame is None:
                break
            self._held += frame
        return min(len(self._held), slice_bytes)

    def take(self, slice_bytes: int) -> bytes:
        """The next slice, packed."""
        with memoryview(self._held) as held, held[:slice_bytes] as part:
            packed = self._packer.pack(part)
        del self._held[:slice_bytes]
        return packed
