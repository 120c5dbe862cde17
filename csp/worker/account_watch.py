"""Ends the sessions of an account that was disabled or deleted, or whose password has changed.

1. It happens with the publication of the change, on every server that gets it; with
   [csp] end-changed-sessions = false only the next sign-in knows of it.
2. Who changes his own password by CFG.PASSWD keeps the connection that he does it on; whoever has
   written is told what became of that first.
3. A changed password does not end the link of a proxy: it signs in anew with what its file holds
   then; nor who signed in by a certificate. Disabling the account does, and taking the password
   away.
4. An account without a record (a directory keeps its password) has the credential 0; what a
   directory decides anew is no change here.
5. Where what has changed is no longer in the log, all sessions are looked at, in slices.
"""

from __future__ import annotations

from collections import deque

import orjson

from csp.model.accounts import credential_of
from csp.model.groups import is_enabled
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES
from csp.worker.call import Lane, State

PERSON = CLASSES["CfgPerson"]
SLICE_SESSIONS = 50  # some 1 ms
AGAIN_MS = 50  # for one that waits for the answer to a write
DISABLED = "its account was disabled or deleted"
CHANGED = "the password of its account has changed"
TAKEN_AWAY = "the password of its account was taken away"

Found = tuple[int, int, int]  # connection, account, credential


class AccountWatch:
    """The sessions of one worker that may have to end."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._waiting: deque[Found] = deque()
        self._is_soon = False

    def changed(self, accounts: list[int] | None) -> None:
        """These persons, or their passwords, have changed; None: anybody may have."""
        if self._lane.info.options.get("end-changed-sessions", True):
            self._waiting.extend(self._lane.loop.accounts.of(accounts))
            self._look()

    def _look(self) -> None:
        self._is_soon = False
        for _ in range(min(SLICE_SESSIONS, len(self._waiting))):
            self._look_at(*self._waiting.popleft())
        if self._waiting and not self._is_soon:
            self._is_soon = True
            self._lane.loop.call_later(0, self._look)

    def _look_at(self, conn: int, account: int, credential: int) -> None:
        now = self._credential(account)
        if now == credential:
            return
        if now is not None and self._lane.certificates.account_of(conn) == account:
            return
        state = self._lane.states.get(conn)
        if state is not None and state.is_writing and state.awaiting:
            self._lane.loop.call_later(AGAIN_MS, lambda: self._look_again(conn, account))
        else:
            self._end(conn, account, DISABLED if now is None else CHANGED if now else TAKEN_AWAY)

    def _look_again(self, conn: int, account: int) -> None:
        for found in self._lane.loop.accounts.of([account]):
            if found[0] == conn:
                self._look_at(*found)

    def _credential(self, account: int) -> int | None:
        """What the account's sessions stand on now; None where it may have none."""
        person = self._lane.reader.raw_get(PERSON.id, account)
        if person is None or not is_enabled(orjson.loads(person)):
            return None
        return credential_of(self._lane.reader.raw_get(ACCOUNT_CLASS_ID, account))

    def _end(self, conn: int, account: int, why: str) -> None:
        """Unless it has ended meanwhile, or is another account's."""
        lane = self._lane
        try:
            session = lane.loop.session(conn)
        except KeyError:
            return
        if session.account_dbid != account or (session.server and why == CHANGED):
            return
        lane.states.setdefault(conn, State()).why_ending = why
        lane.loop.close(conn)
