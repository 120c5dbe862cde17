"""CFG.PASSWD: a new password for oneself, or for another user by somebody with full rights.

1. `old` is always the password of whoever asks, also where it is another user's that changes.
2. Auth compares and hashes; a password goes there and nowhere else, the hash to the writer.
3. Auth holds the new password against the rules of the account that gets it.
4. The account record gets a new revision, which ends remembered sign-ins wherever it arrives.
5. Another user that the asker may not read is not there for him: neither his password nor his rules
   are looked at.
"""

from __future__ import annotations

from typing import Any

import orjson

from csp.errors import BadKey, BadValue, Busy, CspError, MustChange, NoPerm, TooBig, WrongPass
from csp.model.token import is_token
from csp.process.application import dbid_of
from csp.process.channel.asking import Absent, Answer, Broken, Done, Fail
from csp.resp.encode import OK, error
from csp.worker.call import Call, Handler
from csp.worker.handshake import host_of
from csp.worker.identity import become
from csp.worker.refusal import text_of, wrong_arity
from csp.worker.writes import check_taken, send

PASSWORD_BYTES_MAX = 1024  # argon2id reads all of it; nobody types more


def passwd(call: Call) -> None:
    """CFG.PASSWD [user] old new"""
    if len(call.args) > 4:
        raise wrong_arity("cfg.passwd")
    info, session, forced = call.lane.info, call.session, call.state.forced
    check_taken(call.lane)
    own = session.user if forced is None else forced.user
    if is_token(call.args[-2]):
        raise WrongPass("a token does not stand for the old password")
    user = text_of(call.args[1]) if len(call.args) == 4 else own
    old, new = call.args[-2:]
    if forced is not None and user != own:
        raise MustChange()
    if user == own and forced is None and not info.options.get("password-change", True):
        raise NoPerm("[confserv] password-change is false: users do not change their own password")
    _check_new(new)
    own_dbid = session.account_dbid if forced is None else forced.dbid
    dbid = own_dbid if user == own else _dbid_of(call, user)
    lane, conn = call.lane, call.conn

    def answered(answer: Answer) -> None:
        match answer:
            case Done(parts):
                _take(call, dbid, user == own, orjson.loads(parts[0]))
            case Fail(text):
                lane.finish(conn, error(_refusal(text)))
            case Absent(why) | Broken(why):
                lane.finish(conn, error(Busy(f"nothing was done: {why}").line))

    who, other = (one.encode("utf-8", "surrogateescape") for one in (own, user))
    lane.auth.ask("PASSWD", host_of(session), who, old, new, other, then=answered)


def _check_new(new: bytes) -> None:
    if not new:
        raise BadValue("the new password is empty")
    if len(new) > PASSWORD_BYTES_MAX:
        raise TooBig(f"the new password has {len(new)} bytes, {PASSWORD_BYTES_MAX} are allowed")
    try:
        text = new.decode()
    except UnicodeDecodeError:
        raise BadValue("the new password is not valid UTF-8") from None
    if is_token(new):
        raise BadValue("the new password has the form of a token: nobody could sign in with it")
    if "\0" in text:
        raise BadValue("the new password holds a NUL")


def _dbid_of(call: Call, user: str) -> int:
    dbid = dbid_of(call.reader, "CfgPerson", "user_name", user)
    if not dbid:
        raise BadKey(f"there is no user {user!r}")
    return dbid


def _refusal(text: str) -> str:
    """What auth says of the old password; a sign-in's words would mislead here."""
    is_wrong = text.startswith("WRONGPASS ")
    return "WRONGPASS the old password is wrong; nothing was changed" if is_wrong else text


def _take(call: Call, dbid: int, is_own: bool, told: dict[str, Any]) -> None:
    """What auth has decided, done."""
    if "note" in told:
        call.lane.account_notes.add(told["note"])
    if "refusal" in told:
        call.lane.finish(call.conn, error(_refusal(str(told["refusal"]))))
    elif call.conn in call.lane.states:
        _store(call, dbid, is_own, told)


def _store(call: Call, dbid: int, is_own: bool, hashed: dict[str, Any]) -> None:
    expected = str(hashed["revision"]) if is_own else "0"
    words = (str(dbid), expected, str(hashed["algorithm"]), str(hashed["hash"]))
    command = [b"CFG.PASSWORD", *(word.encode() for word in words)]

    def done(revision: int, _: list[bytes]) -> bytes:
        """Whose own password it is goes on with the new one; who had to change it is signed in."""
        if is_own and call.conn in call.lane.states:
            if call.state.forced is not None:
                try:
                    become(call, call.state.forced.user, dbid, revision)
                except CspError as refusal:  # what he may do has changed meanwhile
                    return error(refusal.line)
            call.session.credential_revision = revision
        return OK

    send(call, "one", "", [command], done)


HANDLERS: dict[str, Handler] = {"cfg.passwd": passwd}
