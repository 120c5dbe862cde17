"""Decides what a right or wrong password leads to, by the rules for the account.

1. Nobody hears of a lock, an end of time or a forced change but who has the right password.
2. What other servers have to know goes along with the answer as a note: a lock, the time of a
   sign-in, a better hash (csp/model/account_notes.py).
3. Whether an account was idle too long is decided only where sign-ins are recorded and exchanged;
   where a rule wants that and the server's options do not, it is said, and nothing expires here.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from csp.auth.accounts import Account
from csp.auth.lockouts import Lockouts
from csp.auth.passwords import ARGON2ID
from csp.errors import Expired, Locked
from csp.observe.events import log_event
from csp.process.context import OptionValue
from csp.rules.accounts import DAY_MS

LOGINS_MAX: Final = 100_000  # accounts whose last sign-in is known to this server alone
TOLD_MAX: Final = 1_000  # different things that are wrong with rules

log = logging.getLogger("csp.auth")


class Verdicts:
    """What is decided at one server."""

    def __init__(self, wall_ms: Callable[[], int], *, is_master: bool) -> None:
        self._wall_ms = wall_ms
        self._is_master = is_master
        self.lockouts = Lockouts()
        self.allows_empty = True
        self._records = self._exchanges = False
        self._logins: OrderedDict[int, int] = OrderedDict()  # by Person
        self._told: set[str] = set()

    def take_options(self, values: Mapping[str, OptionValue]) -> None:
        """The server's own options hold at once."""
        self.allows_empty = bool(values.get("allow-empty-password", True))
        self._records = bool(values.get("last-login", False))
        self._exchanges = bool(values.get("last-login-synchronization", False))

    def wrong(self, account: Account, user: str, address: str) -> dict[str, Any]:
        """A password was wrong: the note of a lock that falls with it; empty where none does."""
        until_ms = self.lockouts.failed(account, self._wall_ms())
        if not until_ms:
            return {}
        count = account.rules.lock_attempts
        log_event(log, "51208", user=user, count=count, address=address)
        return self._note(account, locked=until_ms)

    def refusal(self, account: Account, *, without_password: bool = False) -> str:
        """Why nobody signs in by the right password, or by a certificate; empty where it may be."""
        self._tell_problems(account)
        now_ms = self._wall_ms()
        if self.lockouts.locked_ms(account, now_ms):
            return Locked("the account is locked: too many wrong passwords").line
        self.lockouts.succeeded(account)
        rules = account.rules
        age_ms = now_ms - account.changed_ms if account.changed_ms else 0
        is_too_old = rules.password_days and age_ms >= rules.password_days * DAY_MS
        if is_too_old and not without_password:
            return Expired("the password is too old: an administrator sets a new one").line
        last_ms = self._last_ms(account) if self._may_expire(account) else 0
        if last_ms and now_ms - last_ms >= rules.idle_days * DAY_MS:
            return Expired("the account was not used for too long").line
        return ""

    def signed_in(self, account: Account, *, without_password: bool = False) -> dict[str, Any]:
        """What the worker is told of a sign-in besides who it is.

        By a certificate: its password, if it has one, needs neither changing nor renewing for that.
        """
        if without_password:
            account = replace(account, must_change=False, changed_ms=0)
        now_ms, rules = self._wall_ms(), account.rules
        found: dict[str, Any] = {"sessions": rules.sessions, "must_change": account.must_change}
        note = {}
        if account.upgraded:
            note = self._note(account, algorithm=ARGON2ID, hash=account.upgraded)
        if rules.password_days and account.changed_ms:
            ends_ms = account.changed_ms + rules.password_days * DAY_MS
            if ends_ms - now_ms <= rules.notify_days * DAY_MS:
                found["password_expires"] = ends_ms
        if self._records:
            found["last_login"] = self._last_ms(account)
            if not account.must_change:
                note |= self._login(account, now_ms)
        found["note"] = note
        return {name: value for name, value in found.items() if value}

    def _login(self, account: Account, now_ms: int) -> dict[str, Any]:
        self._logins[account.dbid] = now_ms
        self._logins.move_to_end(account.dbid)
        if len(self._logins) > LOGINS_MAX:
            self._logins.popitem(last=False)
        if account.revision and (self._is_master or self._exchanges):  # else: no record to note it
            return self._note(account, login=now_ms)
        return {}

    def _last_ms(self, account: Account) -> int:
        return max(account.login_ms, self._logins.get(account.dbid, 0))

    def _may_expire(self, account: Account) -> bool:
        if not account.rules.idle_days:
            return False
        if self._records and self._exchanges:
            return True
        self._tell("51206", tenant=account.tenant)
        return False

    @staticmethod
    def _note(account: Account, **facts: object) -> dict[str, Any]:
        return {"dbid": account.dbid, "credential": account.revision, **facts}

    def _tell_problems(self, account: Account) -> None:
        for problem in account.rules.problems:
            self._tell("51207", problem=problem)

    def _tell(self, number: str, **fields: object) -> None:
        """Once; what is told is forgotten together when it is much."""
        key = f"{number} {fields}"
        if key in self._told:
            return
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        self._told.add(key)
        log_event(log, number, **fields)
