"""Counts the wrong passwords of each account, and locks it where they are too many.

1. Each server counts for itself; a lock that falls at one is told to all by way of the master
   (csp/model/account_notes.py), and holds there too when it has arrived.
2. Only accounts that exist and have a threshold are counted, a bounded number of them; who was
   counted longest ago is forgotten first.
3. A new password ends the count and the lock; so does the end of the lock's time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from csp.auth.accounts import Account
from csp.rules.accounts import FOR_EVER_MS

ACCOUNTS_MAX: Final = 100_000


@dataclass(slots=True)
class Count:
    """What is known of one account."""

    credential: int  # the password that was guessed at
    failures: deque[int] = field(default_factory=deque)  # when, milliseconds UTC
    locked_ms: int = 0  # until then


class Lockouts:
    """The counts of one server."""

    def __init__(self) -> None:
        self._counts: OrderedDict[int, Count] = OrderedDict()

    def failed(self, account: Account, now_ms: int) -> int:
        """A password was wrong; until when the account is locked by that, 0: it is not."""
        rules = account.rules
        if not rules.lock_attempts or self.locked_ms(account, now_ms):
            return 0
        count = self._count(account)
        count.failures.append(now_ms)
        while len(count.failures) > rules.lock_attempts:
            count.failures.popleft()
        oldest_ms = now_ms - rules.lock_window_ms if rules.lock_window_ms else 0
        while count.failures[0] < oldest_ms:
            count.failures.popleft()
        if len(count.failures) < rules.lock_attempts:
            return 0
        count.failures.clear()
        count.locked_ms = min(now_ms + rules.lock_ms, FOR_EVER_MS)
        return count.locked_ms

    def succeeded(self, account: Account) -> None:
        """A password was right, and the account not locked: the count begins anew."""
        self._counts.pop(account.dbid, None)

    def locked_ms(self, account: Account, now_ms: int) -> int:
        """Until when the account is locked; 0: it is not."""
        if not account.rules.lock_attempts:
            return 0
        count = self._counts.get(account.dbid)
        own = count.locked_ms if count and count.credential == account.revision else 0
        until_ms = max(own, account.locked_ms)
        return until_ms if until_ms > now_ms else 0

    def _count(self, account: Account) -> Count:
        count = self._counts.get(account.dbid)
        if count is None or count.credential != account.revision:
            count = self._counts[account.dbid] = Count(account.revision)
        self._counts.move_to_end(account.dbid)
        if len(self._counts) > ACCOUNTS_MAX:
            self._counts.popitem(last=False)
        return count
