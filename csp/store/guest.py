"""Lets guests read the store: the command line, a worker that keeps one revision.

1. A guest holds its slot's lock for as long as it reads, and announces what it reads as a worker
   does.
2. It keeps one revision for GUEST_PIN_MS_MAX at most: nothing it might look at is freed meanwhile.
3. A slot that its owner left by dying is clean again before the next one announces anything in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from csp._fastpath import Control, StoreReader
from csp.store import locks, segment
from csp.store.control import GUEST_PIN_MS_MAX, GUEST_SLOTS

assert GUEST_SLOTS.stop == Control.SLOTS, "the slots of shm.h are not those of control.py"


class Guest:
    """A reader in a slot of its own, of the generation that was in force when it came."""

    def __init__(self, instance: str, control: Control) -> None:
        slot, self._lock = take_guest_slot(instance)
        self._slot = slot
        self._control = control
        control.claim_slot(slot, os.getpid())
        try:
            self.reader = open_reader(instance, control, slot)
        except BaseException:
            self._give_back()
            raise

    def close(self) -> None:
        """Lets go of what is pinned, and of the slot."""
        self.reader.unpin()
        self._give_back()

    def _give_back(self) -> None:
        self._control.clear_slot(self._slot)
        self._lock.release()


class Pinned:
    """A guest's pin over a long walk: old, it is given up for a new one, at a newer revision."""

    def __init__(self, reader: StoreReader, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._clock = clock
        self.revision = reader.pin()
        self._since_s = clock()

    def __enter__(self) -> Pinned:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.unpin()

    def renew(self) -> bool:
        """To be called between two looks: whether the revision is another one from now on."""
        if self._clock() - self._since_s < GUEST_PIN_MS_MAX / 1000:
            return False
        self._reader.unpin()
        before, self.revision = self.revision, self._reader.pin()
        self._since_s = self._clock()
        return self.revision != before


def open_reader(
    instance: str, control: Control, slot: int, generation: int | None = None
) -> StoreReader:
    """A reader of a generation (the one in force), for who holds the slot; or SegmentMissing."""
    fd = segment.open_data(instance, control.generation if generation is None else generation)
    try:
        return StoreReader(fd, control, slot)
    finally:
        os.close(fd)


def take_guest_slot(instance: str) -> tuple[int, locks.Lock]:
    """The first slot that nobody has, and its lock; raises LockHeld where all are taken."""
    for slot in GUEST_SLOTS:
        try:
            return slot, locks.take_slot(instance, slot)
        except locks.LockHeld:
            continue
    raise locks.LockHeld(f"all guest slots of {instance} are taken: try again")
