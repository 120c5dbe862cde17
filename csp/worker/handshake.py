"""Greets a client and signs it in: HELLO, AUTH, QUIT, RESET, and what else libraries send first.

1. A HELLO that fails changes nothing: neither the protocol, nor the name, nor who is signed in.
2. Passwords go to the auth process and nowhere else; the loop goes on while it decides.
3. Who has to change his password first is not signed in; he may change it on this connection.
4. While auth is being restarted a sign-in waits for its successor, bounded: a question that broke
   is asked again, because it changes nothing; few times, lest it be what broke the channel.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from csp.errors import Busy, CspError, Loading, MustChange, NoAuth, NoProto
from csp.model.sessions import SIGN_IN
from csp.model.token import is_token
from csp.process.channel.asking import Absent, Answer, Broken, Done, Fail
from csp.resp.encode import OK, bulk, encode, error
from csp.resp.values import Value
from csp.worker.call import Call, Forced, Handler, State
from csp.worker.clients import check_name
from csp.worker.identity import DEFAULT_USER, become, check_sessions
from csp.worker.ports import Session
from csp.worker.purposes import check_account, is_for_discovery
from csp.worker.refusal import NOAUTH_HELLO, SYNTAX, number, text_of
from csp.worker.restoring import restore
from csp.worker.server_info import MODULE_VERSION, REDIS_VERSION

AUTH_RETRY_MS = 50
AUTH_RETRIES_MAX = 100  # 5 s: a restarted auth serves within one
BROKEN_RETRIES_MAX = 2
FACTS = ("last_login", "password_expires")  # milliseconds UTC, for CFG.REGISTER


def hello(call: Call) -> bytes | None:
    """HELLO [proto [AUTH user password] [SETNAME name]]"""
    proto, at = call.proto, 1
    if len(call.args) > 1:
        proto, at = _protocol(call.args[1]), 2
    credentials: tuple[bytes, bytes] | None = None
    name: str | None = None
    while at < len(call.args):
        option, more = call.args[at].lower(), len(call.args) - at - 1
        if option == b"auth" and more >= 2:
            credentials = (call.args[at + 1], call.args[at + 2])
            at += 3
        elif option == b"setname" and more >= 1:
            name = check_name(call.args[at + 1])
            at += 2
        else:
            raise CspError(f"Syntax error in HELLO option '{text_of(call.args[at])}'")

    def greet() -> bytes:
        call.session.proto = proto
        if name is not None:
            call.session.name = name
        return encode(_greeting(call, proto), proto)

    if credentials is not None:
        _sign_in(call, *credentials, then=greet)
        return None
    if not call.session.authenticated and not is_for_discovery(call):
        raise NoAuth(NOAUTH_HELLO)
    return greet()


def auth(call: Call) -> None:
    """AUTH [user] password"""
    if len(call.args) > 3:
        raise CspError(SYNTAX)
    user = call.args[1] if len(call.args) == 3 else DEFAULT_USER.encode()
    _sign_in(call, user, call.args[-1], then=lambda: OK)


def quit_(call: Call) -> bytes:
    """QUIT"""
    call.state.why_ending = "QUIT"
    call.lane.loop.close(call.conn)
    return OK


def reset(call: Call) -> bytes:
    """RESET: as if just connected."""
    call.lane.loop.tracking.reset(call.conn)
    call.lane.session_records.ended(call.conn, "RESET")
    call.lane.loop.unsubscribe_all(call.conn)
    call.session.hears_moves = call.session.hears_no_place = False
    for undo in list(call.state.on_close.values()):
        undo()
    call.lane.states[call.conn] = State()
    session = call.session
    session.in_multi = False
    session.proto = 2
    session.name = ""
    session.user = ""
    session.account_dbid = 0
    session.credential_revision = 0
    session.authenticated = False
    session.must_change = False
    return b"+RESET\r\n"


def select(call: Call) -> bytes:
    """SELECT 0"""
    if number(call.args[1]) != 0:
        raise CspError("DB index is out of range")
    return OK


def echo(call: Call) -> bytes:
    """ECHO message"""
    return bulk(call.args[1])


def accept(_: Call) -> bytes:
    """READONLY, READWRITE: there is nothing to switch."""
    return OK


def time_(call: Call) -> bytes:
    """TIME: seconds and microseconds."""
    microseconds = time.time_ns() // 1000
    return call.encode([str(microseconds // 1_000_000), str(microseconds % 1_000_000)])


def no_cluster(_: Call) -> bytes:
    """CLUSTER: a list here would make some clients believe in a cluster."""
    raise CspError("This instance has cluster support disabled")


def _protocol(data: bytes) -> int:
    proto = number(data, "Protocol version is not an integer or out of range")
    if proto not in (2, 3):
        raise NoProto()
    return proto


def _greeting(call: Call, proto: int) -> dict[Value, Value]:
    module: dict[Value, Value] = {"name": "csp", "ver": MODULE_VERSION, "path": "", "args": []}
    who: dict[Value, Value] = {
        "server": "redis",
        "version": REDIS_VERSION,
        "proto": proto,
        "id": call.session.id,
    }
    if is_for_discovery(call):  # a Sentinel says no role
        return who | {"mode": "sentinel", "modules": [module]}
    role = "replica" if call.lane.is_replica else "master"
    return who | {"mode": "standalone", "role": role, "modules": [module]}


def _sign_in(call: Call, user: bytes, secret: bytes, *, then: Callable[[], bytes]) -> None:
    """By a token, which is looked at here, or by a password, which auth compares."""
    if call.lane.awaits_ports:
        raise Loading()
    if not is_token(secret):
        PasswordSignIn(call, host_of(call.session), user, secret, then).ask()
        return
    try:
        restore(call, user, secret, then)
    except CspError as refusal:
        host = host_of(call.session)
        call.lane.auth.ask("REFUSED", host, user, refusal.line, then=lambda _: None)
        raise


@dataclass(slots=True)
class PasswordSignIn:
    """A password that auth is asked to compare.

    Not two functions that know each other: those would stay until the collector of cycles comes.
    """

    call: Call
    host: str
    user: bytes
    password: bytes
    then: Callable[[], bytes]
    retries: int = AUTH_RETRIES_MAX
    broken_retries: int = BROKEN_RETRIES_MAX

    def ask(self) -> None:
        """Asks, unless the client has gone."""
        lane = self.call.lane
        if self.call.conn in lane.states:
            lane.auth.ask("VERIFY", self.host, self.user, self.password, then=self._answered)

    def _answered(self, answer: Answer) -> None:
        lane, conn = self.call.lane, self.call.conn
        if conn not in lane.states:
            return
        if isinstance(answer, Broken) and not answer.is_late and self.broken_retries:
            self.broken_retries -= 1
            lane.loop.call_later(AUTH_RETRY_MS, self.ask)
            return
        if isinstance(answer, Absent) and answer.is_away and self.retries:
            self.retries -= 1
            lane.loop.call_later(AUTH_RETRY_MS, self.ask)
            return
        reply = _sign_in_reply(answer)
        if not isinstance(reply, bytes):
            reply = take_verdict(self.call, reply, self.then)
        lane.finish(conn, reply)


def take_verdict(
    call: Call, told: dict[str, Any], then: Callable[[], bytes], how: str = SIGN_IN
) -> bytes:
    """What auth has decided, done; the reply."""
    if "note" in told:
        call.lane.account_notes.add(told["note"])
    if "refusal" in told:
        return error(str(told["refusal"]))
    try:
        take_account(call, told, how)
    except CspError as refusal:
        return error(refusal.line)
    return then()


def take_account(call: Call, told: dict[str, Any], how: str) -> None:
    """The session is whose auth has said; raises CspError where it is not to be."""
    forced = Forced(str(told["user"]), int(told["dbid"]), int(told["revision"]))
    if told.get("sessions"):
        check_sessions(call, forced.dbid, int(told["sessions"]))
    if told.get("must_change"):
        check_account(call, forced.dbid)
        if not call.session.authenticated:
            call.session.must_change = True
            call.state.forced = forced
        raise MustChange(f"{MustChange.TEXT}: CFG.PASSWD <old> <new>")
    become(call, *forced, how)
    call.state.facts = {name: int(told[name]) for name in FACTS if told.get(name)} or None


def host_of(session: Session) -> str:
    """The host of a client, as auth tells clients apart."""
    return session.address.rpartition(":")[0].strip("[]")


def _sign_in_reply(answer: Answer) -> bytes | dict[str, Any]:
    """The account, or the error reply."""
    match answer:
        case Done(parts):
            account: dict[str, Any] = orjson.loads(parts[0])
            return account
        case Fail(text):
            return error(text)
        case Absent(why):
            return error(Busy(f"can't sign in now: {why}").line)
        case Broken(why):
            return error(Busy(f"can't sign in now: {why}").line)


HANDLERS: dict[str, Handler] = {
    "hello": hello,
    "auth": auth,
    "quit": quit_,
    "reset": reset,
    "select": select,
    "echo": echo,
    "readonly": accept,
    "readwrite": accept,
    "time": time_,
    "cluster": no_cluster,
}
