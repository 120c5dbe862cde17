"""Keeps one revision readable for a connection, while its worker goes on."""

from __future__ import annotations

from collections.abc import Callable

from csp.worker.ports import Reader

# Takes a guest slot: a reader of its own, and how to give the slot back.
OpenGuest = Callable[[], tuple[Reader, Callable[[], None]]]


class Guest:
    """A reader of its own, which keeps one revision readable."""

    def __init__(self, reader: Reader, give_back: Callable[[], None]) -> None:
        self.reader = reader
        self.revision = reader.pin()
        self._give_back = give_back

    def close(self) -> None:
        """Lets the revision go."""
        self.reader.unpin()
        self._give_back()
