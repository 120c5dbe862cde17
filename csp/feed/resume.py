"""Decides, from what the store has and what the master greets with, whether to continue or load.

Pure decisions: no socket, no clock.

1. (stream, revision, mark) names a state for good: the same stream and revision with another mark
   is another history, as is a revision that the master has not reached.
2. Another history is never continued: a new generation is loaded, and the difference told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from csp.model.feed import FORMAT, Greeting, Position

RETRY_DELAY_MS_FIRST = 200
RETRY_DELAY_MS_MAX = 5_000
# After a load that was not the first, or a fault in what the master sent: both are dear, and what
# causes them is there still.
TROUBLE_DELAY_MS_FIRST = 1_000
TROUBLE_DELAY_MS_MAX = 300_000
RETRY_SPREAD = 0.5  # so that a hundred proxies do not return in one instant


@dataclass(frozen=True)
class Decision:
    """What to do after a greeting, and why, in words for the log."""

    load: bool
    reason: str


def why_refuse(greeting: Greeting) -> str | None:
    """Why this master can't be followed at all, or None."""
    if greeting.format < FORMAT:
        return (
            f"the master (release {greeting.release}) speaks feed format {greeting.format}, this "
            f"proxy needs {FORMAT}: update the master first"
        )
    if len(greeting.position.stream) != 16:
        return "the greeting names no stream"
    return None


def warnings_about(greeting: Greeting, release: str, table: int) -> list[str]:
    """What an operator should know, though the feed goes on."""
    found = []
    if greeting.format > FORMAT or _as_numbers(greeting.release) > _as_numbers(release):
        found.append(
            f"the master's release {greeting.release} (feed format {greeting.format}) is newer "
            f"than this proxy's {release} ({FORMAT}): update the proxy"
        )
    if greeting.table != table:
        found.append(
            "the master's key table is another than this proxy's: keys are built anew here, which "
            "takes time; run the same release on both"
        )
    return found


def decide(have: Position, greeting: Greeting) -> Decision:
    """Continue from `have`, or load."""
    master = greeting.position
    if not have.stream:
        return Decision(True, "nothing is loaded yet")
    if master.stream != have.stream:
        return Decision(True, f"the master has another stream, {master.stream.hex()}")
    if master.revision < have.revision:
        return Decision(
            True,
            f"the master is at revision {master.revision}, before this proxy's {have.revision}: "
            "its database was restored",
        )
    if master.revision == have.revision and master.mark != have.mark:
        return Decision(True, f"the master has another mark at revision {have.revision}")
    if greeting.snapshot:
        return Decision(
            True,
            f"the master can't continue from {have}: another history, or older than its log",
        )
    return Decision(False, f"continues from revision {have.revision}")


class Backoff:
    """When to try again: at once, then after a delay that doubles up to a most, spread by half."""

    def __init__(
        self,
        random: Callable[[], float],
        first_ms: int = RETRY_DELAY_MS_FIRST,
        most_ms: int = RETRY_DELAY_MS_MAX,
    ) -> None:
        self._random = random  # 0 <= value < 1
        self._first_ms, self._most_ms = first_ms, most_ms
        self._count = 0

    def next_delay_ms(self) -> int:
        """The delay before the next attempt; the first one is 0."""
        self._count += 1
        if self._count == 1:
            return 0
        doublings = min(self._count - 2, 16)
        delay_ms = min(self._first_ms << doublings, self._most_ms)
        return round(delay_ms * (1 + RETRY_SPREAD * (2 * self._random() - 1)))

    def skip_first(self) -> None:
        """The next delay is not 0: the other side is there, and refuses."""
        self._count = max(self._count, 1)

    def reset(self) -> None:
        """The last attempt served: the next loss reconnects at once."""
        self._count = 0


def _as_numbers(release: str) -> tuple[int, ...]:
    numbers = []
    for part in release.split("."):
        digits = "".join(ch for ch in part if ch.isdigit())
        numbers.append(int(digits) if digits else 0)
    return tuple(numbers)
