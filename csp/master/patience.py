"""Keeps what one turn of the writer's loop waits for its database below the supervisor's patience.

1. The supervisor calls a writer hung that gives no sign of life for 3 s; the silences between two
   signs stay below SILENCE_SECONDS_MAX, whatever they are made of.
2. Whenever the database answers, this process gives a sign: a long transaction is no silence.
3. After one wait in vain nothing more is asked of the database in this turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

SILENCE_SECONDS_MAX: Final = 2.6
ONE_WAIT_SECONDS_MAX: Final = 1.8  # for a lock, or for a server that says nothing
LEAST_WAIT_SECONDS: Final = 0.2  # for what is under way when nothing is left
SIGN_EVERY_SECONDS: Final = 0.5


class Turn:
    """What was waited for in this turn of the writer's loop."""

    def __init__(self) -> None:
        self.sign: Callable[[], None] = lambda: None  # tells the supervisor that this process lives
        self._silent_seconds = 0.0
        self._signed_at = 0.0
        self._waited_in_vain = False

    def begin(self) -> None:
        """The loop turned: the supervisor was answered."""
        self._silent_seconds = 0.0
        self._waited_in_vain = False

    def waited(self, seconds: float) -> None:
        """So long nothing came."""
        self._silent_seconds += seconds

    def answered(self) -> None:
        """Something came."""
        now = time.monotonic()
        if now - self._signed_at >= SIGN_EVERY_SECONDS:
            self._signed_at = now
            self._silent_seconds = 0.0
            self.sign()

    def give_up(self) -> None:
        """A wait was in vain."""
        self._waited_in_vain = True

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be asked before the loop has turned."""
        return self._waited_in_vain or (
            self._silent_seconds > SILENCE_SECONDS_MAX - ONE_WAIT_SECONDS_MAX
        )

    @property
    def wait_seconds(self) -> float:
        """How long the next wait may be."""
        left = SILENCE_SECONDS_MAX - self._silent_seconds
        return max(LEAST_WAIT_SECONDS, min(ONE_WAIT_SECONDS_MAX, left))
