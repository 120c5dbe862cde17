"""The master's history as its author knows it: which contents an object may have, and since when.

Invariants
1. Every value is written at most once, so an object's value names the change that wrote it.
2. A value is known to the history before the change that writes it is sent.
3. Objects are changed in pairs, both in one transaction: at one revision both hold one value.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class History:
    """What has been sent and what is known of it; shared by the changer and the readers."""

    pairs: list[tuple[int, int]]
    lock: threading.Lock = field(default_factory=threading.Lock)
    faults: list[str] = field(default_factory=list)
    reads: int = 0
    _sent: dict[int, int] = field(default_factory=dict)  # value -> pair number
    _revision: dict[int, int] = field(default_factory=dict)  # value -> revision, once committed
    _rejected: set[int] = field(default_factory=set)

    def sent(self, value: int, pair: int) -> None:
        with self.lock:
            self._sent[value] = pair

    def committed(self, value: int, revision: int) -> None:
        with self.lock:
            self._revision[value] = revision

    def rejected(self, value: int) -> None:
        with self.lock:
            self._rejected.add(value)

    def fault(self, text: str) -> None:
        with self.lock:
            self.faults.append(text)

    def why_wrong(self, pair: int, value: int, revision: int) -> str | None:
        """Why a reply that shows this value at this revision can't be right; None if it can."""
        with self.lock:
            self.reads += 1
            if value == 0:
                return None
            if self._sent.get(value) != pair:
                return f"pair {pair} shows value {value}, which was never written to it"
            if value in self._rejected:
                return f"pair {pair} shows value {value}, whose change was rejected"
            known = self._revision.get(value, revision)
            if known != revision:
                return f"value {value} was committed at {known} and is shown at {revision}"
            return None

    def counts(self) -> tuple[int, int]:
        """Changes committed, changes whose outcome was a rejection."""
        with self.lock:
            return len(self._revision), len(self._rejected)
