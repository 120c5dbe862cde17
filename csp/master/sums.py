"""Sums what the database holds, record by record, so that a store can be compared with it.

1. All figures are of one revision: the rows are read in one transaction of a connection of its own.
2. Work goes in steps of some 10 ms; between them the writer writes.
3. The records are built anew from the rows; nothing is taken from the store.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from csp._fastpath import record_hash
from csp.master.database import Database
from csp.master.load import Rows, looked_through
from csp.master.reading import reading
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES, GRANTS_CLASS_ID
from csp.process.origin import Sums

STEP_MS: Final = 10
LOOKED_UP_MAX: Final = 10_000  # DBIDs of a question that is answered without reading others first
MODULUS: Final = 1 << 64


class Summer:
    """One question about the database's content."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._step_ends = 0

    def run(self, class_id: int | None, low: int, high: int) -> Iterator[Sums | None]:
        """Yields None after each step, the result last."""
        self._begin_step()
        with reading(self.database) as connection:
            revision = self.database.head_seen_by(connection).revision
            rows = Rows(connection)
            classes: dict[int, tuple[int, int]] = {}
            if class_id is not None and high - low > LOOKED_UP_MAX:
                for _ in self._read_through(rows, class_id):
                    yield None
            for cls in rows.classes():
                if class_id in (None, cls.id):
                    images = rows.images(cls, None, low, high)
                    yield from self._add(images, cls.id, classes)
            if class_id in (None, ACCOUNT_CLASS_ID):
                accounts = (one for one in rows.accounts() if low <= one[0] <= high)
                yield from self._add(accounts, ACCOUNT_CLASS_ID, classes)
            if class_id in (None, GRANTS_CLASS_ID):
                yield from self._add(rows.grants(low, high), GRANTS_CLASS_ID, classes)
        self.database.look_at_file()
        self.database.check_there()  # what was read must still be the database
        yield Sums(revision, classes)

    def _read_through(self, rows: Rows, class_id: int) -> Iterator[None]:
        """Reads what keys of other classes go through, rather than look it up one by one."""
        for name in looked_through():
            if CLASSES[name].id != class_id:
                for _ in rows.images(CLASSES[name]):
                    if self._step_over():
                        yield None

    def _add(
        self,
        images: Iterator[tuple[int, bytes]],
        class_id: int,
        classes: dict[int, tuple[int, int]],
    ) -> Iterator[None]:
        count, total = 0, 0
        for _, image in images:
            count += 1
            total = (total + record_hash(image)) % MODULUS
            if self._step_over():
                yield None
        classes[class_id] = (count, total)

    def _begin_step(self) -> None:
        self._step_ends = time.monotonic_ns() + STEP_MS * 1_000_000

    def _step_over(self) -> bool:
        if time.monotonic_ns() < self._step_ends:
            return False
        self._begin_step()
        return True
