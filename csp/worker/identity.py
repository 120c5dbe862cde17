"""Makes a connection the session of an account, after whatever proved that it is."""

from __future__ import annotations

from csp.model.sessions import SIGN_IN
from csp.worker import tracking
from csp.worker.call import Call

DEFAULT_USER = "default"
DEFAULT_ACCOUNT = 100  # its Person: the account that signs in first


def is_administrator(account_dbid: int) -> bool:
    """Whether an account is an administrator's: the default one, until rights say who is."""
    return account_dbid == DEFAULT_ACCOUNT


def become(call: Call, user: str, account_dbid: int, credential: int, how: str = SIGN_IN) -> None:
    """The session is this account's from now on.

    What another account was told on its subscriptions is none of its business, nor the reverse.
    """
    session, conn = call.session, call.conn
    if session.authenticated and session.account_dbid != account_dbid:
        call.lane.session_records.ended(conn, "another account signed in")
    if session.subscriptions and session.account_dbid not in (0, account_dbid):
        call.lane.loop.lose_place(conn)
    if session.account_dbid not in (0, account_dbid):
        tracking.rights_changed(call.lane, conn)
    session.user = user
    session.account_dbid = account_dbid
    session.credential_revision = credential
    session.administrator = is_administrator(account_dbid)
    session.authenticated = True
    call.lane.session_records.note(conn, how)
    call.lane.tell_client(conn, "51204")
