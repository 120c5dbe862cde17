"""Reads in the head row who has the lease, and judges what that means for one master. Pure.

1. A counter stands still when it was read again and again, never more than GAP_MS apart, with no
   change for a whole lease of the reader's own clock: not while nobody could reach the database,
   nor while the reader itself was stopped.
2. A row is a master's own where it names it, and a fence that is not above what it raised itself.
   A server that is started anew has raised none: its predecessor of the same name is dead, which
   the locks of its instance prove (csp/supervisor/instance.py, csp/store/locks.py).
3. Another boot of the machine, or another machine of the same name, is somebody else.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from csp.master.lease_table import TABLE, Action, Finding, State, Step

LEASE_MS: Final = 3000
RENEW_MS: Final = LEASE_MS // 3
GAP_MS: Final = LEASE_MS // 2  # of a watcher's readings: after more it begins anew
ANYBODY: Final = "*"  # as heir: whoever comes
NAME_CHARACTERS_MAX: Final = 255


@dataclass(frozen=True)
class Holder:
    """A master, as the head row names the one that has the lease."""

    application: str
    instance: str
    host: str
    boot: str  # of the host's kernel
    address: str = ""  # HOST:PORT where it takes clients
    backend: int = 0  # of the database server's process that commits for it: its pid
    backend_start: str = ""  # and its start, as pg_stat_activity says it

    @property
    def name(self) -> str:
        """What it is called among the masters of one database."""
        return f"{self.instance or self.application}@{self.host}"[:NAME_CHARACTERS_MAX]

    def is_server(self, other: Holder | None) -> bool:
        """Whether both are one server, in this run of its host."""
        return other is not None and self._server == other._server

    @property
    def _server(self) -> tuple[str, str, str, str]:
        return self.application, self.instance, self.host, self.boot

    def at(self, backend: int, backend_start: str) -> Holder:
        """The same, with another connection."""
        return replace(self, backend=backend, backend_start=backend_start)

    def pack(self) -> str:
        """As it stands in the row."""
        return json.dumps(asdict(self), separators=(",", ":"))


def holder_in(text: str) -> Holder | None:
    """Whom the row names; None where it names nobody, or in words of another release."""
    try:
        found: dict[str, Any] = json.loads(text or "null") or {}
        return Holder(**found) if found else None
    except (ValueError, TypeError):
        return None


@dataclass(frozen=True)
class Seat:
    """What the head row says of the lease."""

    fence: int
    beat: int
    heir: str = ""  # who may take it at once: a name, or ANYBODY; empty: nobody
    holder: Holder | None = None


class Watch:
    """For how long a counter was read unmoved, by the reader's own monotonic clock."""

    def __init__(self, lease_ms: int = LEASE_MS) -> None:
        self._lease_ms = lease_ms
        self.forget()

    def forget(self) -> None:
        """What was read so far says nothing."""
        self._seen = (-1, -1)
        self._since_ms = self._read_ms = 0

    def read(self, fence: int, beat: int, now_ms: int) -> bool:
        """Whether it has stood still for a lease; asked for right before it was read."""
        is_gap = not 0 <= now_ms - self._read_ms <= GAP_MS
        if is_gap or self._seen != (fence, beat):
            self._seen, self._since_ms = (fence, beat), now_ms
        self._read_ms = now_ms
        return now_ms - self._since_ms >= self._lease_ms


class Chair:
    """One master's place at the lease: its state, its fence and its watch."""

    def __init__(self, me: Holder, lease_ms: int = LEASE_MS) -> None:
        self.me = me
        self.state = State.STARTING
        self.fence = 0  # the one that it raised last, or was about to; 0: none in this run
        self._watch = Watch(lease_ms)

    @property
    def may_write(self) -> bool:
        """Whether it has the lease, as far as it knows; the fence in each commit proves it."""
        return self.state is State.PRIMARY

    def find(self, finding: Finding) -> Action:
        """Takes what it was asked, or what became of a statement; what it is to do."""
        step: Step = TABLE[self.state, finding]
        if finding is Finding.GONE:
            self._watch.forget()
        self.state = step.state
        return step.action

    def read(self, seat: Seat, now_ms: int) -> Action:
        """Takes what the row says, read after `now_ms`, milliseconds that never jump."""
        return self.find(self.finding(seat, now_ms))

    def finding(self, seat: Seat, now_ms: int) -> Finding:
        """What the row means to it."""
        is_still = self._watch.read(seat.fence, seat.beat, now_ms)
        is_mine = self.me.is_server(seat.holder)
        if self.state in (State.PRIMARY, State.LOST) and seat.fence != self.fence:
            is_mine = False
        if seat.heir and seat.heir in (ANYBODY, self.me.name):
            return Finding.FREE
        if not seat.heir and is_mine and (not self.fence or seat.fence <= self.fence):
            return Finding.OWN
        return Finding.STILL if is_still else Finding.HELD

    def next_fence(self, seat: Seat) -> int:
        """The number to take it by: no database that was put back makes one come twice."""
        return max(seat.fence, self.fence) + 1
