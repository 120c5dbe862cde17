"""Remembers which Kerberos tickets were used to sign in, so that no server takes one twice.

1. A digest is taken once in KEPT_MS, whoever asks: longer than a library takes a ticket's clock for
   good, on either side of its own (RFC 4120: five minutes each).
2. It is decided in memory and saved in the next tick: nobody waits for the disk. A successor reads
   what was saved; a writer that is killed loses what came in its last second.
3. Nothing here is let go by the wall clock: it may jump. What a successor has read it keeps as long
   as if it had come just then.
4. A full memory refuses: it never forgets one whose time has not come.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from csp.errors import BadValue, Busy
from csp.master import schema
from csp.observe.clock import steady_ms

KEPT_MS: Final = 10 * 60 * 1000
TICKETS_MAX: Final = 500_000  # 800 sign-ins a second; some 100 MiB
STEP_ROWS_MAX: Final = 500  # of one transaction: some 5 ms
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_table = schema.tickets


class Tickets:
    """Those of the last minutes."""

    def __init__(self, now_ms: Callable[[], int] = steady_ms) -> None:
        self._now_ms = now_ms
        self._known: OrderedDict[bytes, int] = OrderedDict()  # when they came, oldest first
        self._unsaved: OrderedDict[bytes, None] = OrderedDict()
        self._gone: list[bytes] = []  # saved ones that are to be deleted

    def __len__(self) -> int:
        return len(self._known)

    def take(self, digest: str) -> bool:
        """Whether it comes for the first time; Busy where there is no room to remember it."""
        if not DIGEST.fullmatch(digest):
            raise BadValue("a ticket is named by its SHA-256, 64 hexadecimal digits")
        self._forget()
        name = bytes.fromhex(digest)
        if name in self._known:
            return False
        if len(self._known) >= TICKETS_MAX:
            raise Busy(f"{TICKETS_MAX} Kerberos tickets were used within {KEPT_MS // 1000} s")
        self._known[name] = self._now_ms()
        self._unsaved[name] = None
        return True

    def load(self, connection: Connection) -> None:
        """Takes what an earlier writer has saved."""
        now_ms = self._now_ms()
        with connection.begin():
            for digest in connection.execute(select(_table.c.digest)).scalars():
                self._known.setdefault(bytes.fromhex(digest), now_ms)

    def save(self, connection: Connection) -> bool:
        """Saves and deletes some, in a short transaction; whether more waits."""
        self._forget()
        added = list(self._unsaved)[:STEP_ROWS_MAX]
        gone = self._gone[:STEP_ROWS_MAX]
        if added or gone:
            with connection.begin():
                for names in (added, gone):  # of an earlier attempt whose end was not known
                    texts = [name.hex() for name in names]
                    connection.execute(delete(_table).where(_table.c.digest.in_(texts)))
                if added:
                    connection.execute(insert(_table), [{"digest": name.hex()} for name in added])
            for name in added:
                del self._unsaved[name]
            del self._gone[: len(gone)]
        return bool(self._unsaved or self._gone)

    def _forget(self) -> None:
        before_ms = self._now_ms() - KEPT_MS
        while self._known:
            name, came_ms = next(iter(self._known.items()))
            if came_ms > before_ms:
                return
            del self._known[name]
            if name in self._unsaved:
                del self._unsaved[name]
            else:
                self._gone.append(name)
