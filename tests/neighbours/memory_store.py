"""A store of its own in memory files, without a server: for benchmarks, fuzzing and stages."""

from __future__ import annotations

import os

from csp._fastpath import Control, StoreWriter
from csp.model.keys import STORED_KEYS, TABLE_DIGEST

STREAM = b"s" * 16


class MemoryStore:
    """The two segments, and the writer, whose load has begun."""

    def __init__(self, reserve_bytes: int, *, log_bytes: int = 0) -> None:
        self.control_fd, self.data_fd = os.memfd_create("control"), os.memfd_create("data")
        os.ftruncate(self.control_fd, Control.SIZE)
        self.control = Control(self.control_fd, format=True)
        self.writer = StoreWriter(
            self.data_fd, self.control, reserve_bytes=reserve_bytes, format=True, keys=STORED_KEYS,
            table=TABLE_DIGEST, log_bytes=log_bytes, log_age_ms=0 if log_bytes else 600_000,
        )  # fmt: skip
        self.writer.load_begin(STREAM)

    def publish(self) -> None:
        """Ends the load: readers see it."""
        self.writer.load_end(1, 7, 0)
        self.control.generation = self.control.state = 1

    def close(self) -> None:
        """Gives the memory back."""
        os.close(self.control_fd)
        os.close(self.data_fd)
