"""Makes a connection the session of an account, after whatever proved that it is."""

from __future__ import annotations

from csp.errors import Busy
from csp.model.sessions import SIGN_IN
from csp.worker import tracking
from csp.worker.call import Call
from csp.worker.purposes import check_account

DEFAULT_USER = "default"


def become(call: Call, user: str, account_dbid: int, credential: int, how: str = SIGN_IN) -> None:
    """The session is this account's from now on; raises NoPerm where the port is not for it.

    What another account was told on its subscriptions is none of its business, nor the reverse.
    """
    check_account(call, account_dbid)
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
    session.authenticated = True
    session.must_change = False
    call.state.forced = None
    call.lane.certificates.became(conn, account_dbid, how)
    call.lane.session_records.note(conn, how)
    call.lane.tell_client(conn, "51204")


def check_sessions(call: Call, account_dbid: int, most: int) -> None:
    """Raises Busy where the account has as many other sessions on this server as its rules allow.

    Two that come to two workers in the same moment may both be let in.
    """
    others = call.lane.loop.accounts.count(account_dbid)
    others -= call.session.account_dbid == account_dbid
    if others >= most:
        raise Busy(
            f"the account has {others} sessions here, {most} are allowed "
            f"(max-account-sessions): end one of them"
        )
