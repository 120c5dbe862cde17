"""Does what takes long in slices, between the turns of the loop.

1. A slice is what its owner does in one call; the loop calls for the next one while it has time.
2. Where connections get slices, each has its turn, while its socket takes what it got.
3. What a long thing has gathered goes when it is over: it is a generator. A function that asks to
   be called again refers to itself, and stays, with a million keys, until cycles are searched for,
   which is by the number of objects and not by their size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from csp.worker.call import Lane
from csp.worker.ports import Loop

UNSENT_BYTES_MAX = 512 * 1024  # of a connection: above it, its next slice waits
RETRY_MS = 20  # how soon it is looked whether a socket took what was queued


def in_slices(loop: Loop, slices: Iterator[None]) -> None:
    """Does a slice now and one in each of the next turns, until the generator ends.

    A slice ends with a `yield`; what is refused or found is told by the generator itself.
    """
    for _ in slices:
        loop.call_later(0, partial(in_slices, loop, slices))
        return


class Slices:
    """The connections of one worker that get slices of one kind."""

    def __init__(self, lane: Lane, work: Callable[[int], None]) -> None:
        """`work` gives a connection its slice, if it still wants one."""
        self._lane = lane
        self._slice = work
        self._ready: deque[int] = deque()
        self._has_turn = False

    def go_on(self, conn: int) -> None:
        """It has its turn behind the others."""
        self._ready.append(conn)
        self._ask_turn()

    def waits(self, conn: int) -> bool:
        """Whether its socket has enough for now; it then has its turn a little later."""
        if self._lane.loop.pending(conn) <= UNSENT_BYTES_MAX:
            return False
        self._lane.loop.call_later(RETRY_MS, lambda: self.go_on(conn))
        return True

    def _ask_turn(self) -> None:
        if self._ready and not self._has_turn:
            self._has_turn = True
            self._lane.loop.call_later(0, self._work)

    def _work(self) -> None:
        self._has_turn = False
        conn = self._ready.popleft()
        self._ask_turn()
        self._slice(conn)
