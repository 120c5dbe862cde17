"""What a right and a wrong password lead to: locks, ends of time, forced changes, notes for others.

F94 and F97, T43 and T44 of domain.md.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest

from csp.auth.accounts import Account
from csp.auth.verdicts import Verdicts
from csp.rules.accounts import DAY_MS, FOR_EVER_MS, MINUTE_MS, AccountRules

START_MS = 1_700_000_000_000
LAST = {"last-login": True}
BOTH = LAST | {"last-login-synchronization": True}


class Auth:
    """Verdicts with a clock of their own, and the account that they are about."""

    def __init__(self, *, is_master: bool = True, **rules: Any) -> None:
        self.now_ms = START_MS
        self.verdicts = Verdicts(lambda: self.now_ms, is_master=is_master)
        self.account = Account(200, 5, True, "argon2id", "h", rules=AccountRules(**rules), tenant=7)

    def wrong(self, times: int = 1) -> dict[str, Any]:
        """The note of the last one."""
        note: dict[str, Any] = {}
        for _ in range(times):
            note = self.verdicts.wrong(self.account, "ann", "10.0.0.1")
        return note

    def word(self) -> str:
        return self.verdicts.refusal(self.account).partition(" ")[0]

    def change(self, **fields: Any) -> None:
        self.account = dataclasses.replace(self.account, **fields)


def test_so_many_wrong_passwords_lock_and_time_unlocks() -> None:
    """F94."""
    auth = Auth(lock_attempts=3, lock_ms=30 * MINUTE_MS)
    assert auth.wrong(2) == {}
    assert auth.word() == ""  # and the count begins anew
    assert auth.wrong(2) == {}
    assert auth.wrong() == {"dbid": 200, "credential": 5, "locked": START_MS + 30 * MINUTE_MS}
    assert auth.word() == "LOCKED"
    assert auth.wrong(5) == {}, "guessing on does not make it longer"
    auth.now_ms += 30 * MINUTE_MS
    assert auth.word() == ""


def test_failures_count_within_their_window() -> None:
    auth = Auth(lock_attempts=3, lock_window_ms=5 * MINUTE_MS, lock_ms=MINUTE_MS)
    for _ in range(6):
        assert auth.wrong() == {}
        auth.now_ms += 3 * MINUTE_MS
    assert auth.word() == ""
    assert auth.wrong(3)["locked"] == auth.now_ms + MINUTE_MS


def test_a_lock_of_another_server_holds_here_and_a_new_password_ends_it() -> None:
    """T44: each server counts for itself, and a lock is everybody's."""
    auth = Auth(lock_attempts=3, lock_ms=MINUTE_MS)
    auth.change(locked_ms=START_MS + MINUTE_MS)
    assert auth.word() == "LOCKED"
    auth.change(locked_ms=0, revision=6)
    assert auth.word() == ""
    auth.wrong(3)
    assert auth.word() == "LOCKED"
    auth.change(revision=7)
    assert auth.word() == ""


def test_a_lock_without_end_is_ended_by_the_override() -> None:
    auth = Auth(lock_attempts=1, lock_ms=FOR_EVER_MS)
    assert auth.wrong()["locked"] == FOR_EVER_MS
    auth.now_ms += 365 * DAY_MS
    assert auth.word() == "LOCKED"
    auth.change(rules=AccountRules())
    assert auth.word() == ""


def test_an_old_password_and_an_idle_account_expire() -> None:
    auth = Auth(idle_days=10, password_days=20)
    auth.verdicts.take_options(BOTH)
    auth.change(changed_ms=START_MS, login_ms=START_MS)
    assert auth.word() == ""
    auth.now_ms += 10 * DAY_MS - 1
    assert auth.word() == ""
    auth.now_ms += 1
    assert auth.word() == "EXPIRED"
    auth.change(login_ms=auth.now_ms)
    assert auth.word() == ""
    auth.now_ms = START_MS + 20 * DAY_MS
    auth.change(login_ms=auth.now_ms)
    assert auth.word() == "EXPIRED"
    auth.change(login_ms=0, changed_ms=0)  # neither is known
    assert auth.word() == ""


def test_who_never_signed_in_does_not_expire() -> None:
    auth = Auth(idle_days=1)
    auth.verdicts.take_options(BOTH)
    assert auth.word() == ""


@pytest.mark.parametrize("options", [{}, LAST, {"last-login-synchronization": True}])
def test_without_exchanged_sign_ins_nobody_expires_and_it_is_said(
    options: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    """T43."""
    auth = Auth(idle_days=10)
    auth.verdicts.take_options(options)
    auth.change(login_ms=START_MS - 100 * DAY_MS)
    with caplog.at_level(logging.WARNING, "csp.auth"):
        assert auth.word() == ""
        assert auth.word() == ""
    (said,) = [one.getMessage() for one in caplog.records]
    assert "CfgTenant:7" in said
    assert "last-login-synchronization" in said


def test_sign_ins_are_recorded_noted_and_told_where_the_options_say_so() -> None:
    """F97."""
    auth = Auth(is_master=False)
    assert auth.verdicts.signed_in(auth.account) == {}
    auth.verdicts.take_options(LAST)
    assert auth.verdicts.signed_in(auth.account) == {}  # the first one; kept here alone
    auth.now_ms += 1_000
    assert auth.verdicts.signed_in(auth.account) == {"last_login": START_MS}
    auth.verdicts.take_options(BOTH)
    told = auth.verdicts.signed_in(auth.account)
    assert told["note"] == {"dbid": 200, "credential": 5, "login": auth.now_ms}
    auth.change(login_ms=START_MS + 500_000)  # at another server
    assert auth.verdicts.signed_in(auth.account)["last_login"] == START_MS + 500_000


def test_the_end_of_a_password_is_told_before_it_comes() -> None:
    auth = Auth(password_days=20, notify_days=5)
    auth.change(changed_ms=START_MS)
    auth.now_ms += 15 * DAY_MS - 1
    assert auth.verdicts.signed_in(auth.account) == {}
    auth.now_ms += 1
    assert auth.verdicts.signed_in(auth.account) == {"password_expires": START_MS + 20 * DAY_MS}


def test_a_better_hash_and_a_forced_change_are_told() -> None:
    auth = Auth()
    auth.change(upgraded="$argon2id$x", must_change=True)
    told = auth.verdicts.signed_in(auth.account)
    note = {"dbid": 200, "credential": 5, "algorithm": "argon2id", "hash": "$argon2id$x"}
    assert told == {"must_change": True, "note": note}


def test_a_rule_of_a_wrong_value_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    auth = Auth(problems=("CfgTenant:7 [x] y: no",))
    with caplog.at_level(logging.WARNING, "csp.auth"):
        auth.word()
        auth.word()
    assert [one.getMessage() for one in caplog.records] == ["CfgTenant:7 [x] y: no"]


def test_whoever_shows_a_certificate_needs_no_fresh_password() -> None:
    """Its age and a forced change are the password's; locks and idle accounts are the account's."""
    auth = Auth(password_days=20, notify_days=5, sessions=2, idle_days=30, lock_attempts=1)
    auth.change(changed_ms=START_MS - 100 * DAY_MS, must_change=True)
    assert auth.word() == "EXPIRED"
    assert auth.verdicts.refusal(auth.account, without_password=True) == ""
    assert auth.verdicts.signed_in(auth.account, without_password=True) == {"sessions": 2}
    auth.verdicts.take_options(BOTH)
    auth.change(login_ms=START_MS - 31 * DAY_MS)
    idle = auth.verdicts.refusal(auth.account, without_password=True)
    assert idle.startswith("EXPIRED the account was not used")
    auth.change(login_ms=START_MS, locked_ms=START_MS + MINUTE_MS)
    locked = auth.verdicts.refusal(auth.account, without_password=True)
    assert locked.startswith("LOCKED")
