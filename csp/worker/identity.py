"""Makes a connection the session of an account, after whatever proved that it is.

Whoever decided, did so some moments ago: what the person is now is looked at in the turn in which
the session begins, for from then on it is ended by what changes.
"""

from __future__ import annotations

import orjson

from csp.errors import Busy, WrongPass
from csp.model.groups import is_enabled
from csp.model.sessions import CERTIFICATE, SIGN_IN
from csp.model.types import CLASSES
from csp.rules.accounts import is_certificate_only
from csp.worker import tracking
from csp.worker.call import Call
from csp.worker.purposes import check_account

DEFAULT_USER = "default"
PERSON = CLASSES["CfgPerson"]


def become(call: Call, user: str, account_dbid: int, credential: int, how: str = SIGN_IN) -> None:
    """The session is this account's from now on; raises NoPerm where the port is not for it.

    What another account was told on its subscriptions is none of its business, nor the reverse.
    """
    _check_person(call, account_dbid, how)
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


def _check_person(call: Call, dbid: int, how: str) -> None:
    """Raises WrongPass where the person is gone or disabled, or signs in by a certificate alone and
    this is not the connection of that.
    """
    person = call.lane.reader.raw_get(PERSON.id, dbid)
    found = None if person is None else orjson.loads(person)
    if found is None or not is_enabled(found):
        raise WrongPass()
    is_shown = how == CERTIFICATE or call.lane.certificates.account_of(call.conn) == dbid
    if is_certificate_only(found) and not is_shown:
        raise WrongPass()


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
