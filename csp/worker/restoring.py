"""Signs a client in by a token: it is who it was, serves what it served, and goes on where it was.

1. A token ahead of this server waits for it, TOKEN_WAIT_MS at most; its place fails no sign-in.
2. The application gets its place back where nobody else holds it; else CFG.REGISTER decides. No
   sign-in waits for that: the writer may be away.
3. What was good when it came may be worth nothing once this server has got to its place: that is
   looked at again then, in the turn in which the session begins.
4. The first subscription begins at the token's place, unless CFG.FROM says another.
"""

from __future__ import annotations

from collections.abc import Callable

from csp.errors import CspError, WrongPass
from csp.model.sessions import RESTORE
from csp.resp.encode import error
from csp.worker.call import Call, Restored
from csp.worker.identity import become, check_sessions
from csp.worker.purposes import check_application
from csp.worker.refusal import text_of
from csp.worker.register import wish_of
from csp.worker.scoped import stream_of
from csp.worker.tokens import WRONG

TOKEN_WAIT_MS = 5_000


def restore(call: Call, user: bytes, text: bytes, then: Callable[[], bytes]) -> None:
    """Answers with what `then` makes, once the client is signed in; a refusal is raised."""
    lane, conn = call.lane, call.conn
    found = _checked(call, user, text)
    if lane.publications.is_there(found.token.revision):  # the turn that looked at it goes on
        _begin(call, found)
        lane.finish(conn, then())
        return

    def reached(_: bool) -> None:
        if conn not in lane.states:
            return
        try:
            _begin(call, _checked(call, user, text))
        except CspError as refusal:
            lane.finish(conn, error(refusal.line))
            return
        lane.finish(conn, then())

    lane.publications.wait(found.token.revision, TOKEN_WAIT_MS, reached)


def _begin(call: Call, restored: Restored) -> None:
    """The session is there, and asks for the place of its application."""
    if restored.sessions:
        check_sessions(call, restored.token.account, restored.sessions)
    _sign_in(call, restored)
    call.lane.registrations.ask_again(call.conn, wish_of(call, restored.application, {}))


def _checked(call: Call, user: bytes, text: bytes) -> Restored:
    """What the token leads to now, on this connection; raises what is to be told."""
    lane = call.lane
    restored = lane.tokens.check(text_of(user), text)
    account = restored.token.account
    if restored.certificate_only and lane.certificates.account_of(call.conn) != account:
        raise WrongPass(f"{WRONG}: the account is certificate-only")
    check_application(call, restored.application)
    return restored


def _sign_in(call: Call, restored: Restored) -> None:
    """The session is the token's again, its first subscription begins where that one stood."""
    lane, session, token = call.lane, call.session, restored.token
    call.state.application = str(restored.application["name"])
    become(call, restored.user, token.account, token.credential, RESTORE)
    session.application_dbid = token.application
    call.state.restored = token.application
    lane.count("restored")
    if session.subscriptions or lane.loop.tracking.info(call.conn) is not None:
        return
    lost = token.stream != stream_of(lane)
    lane.loop.start_from(
        call.conn,
        token.revision,
        mark=token.mark or (1 if lost else None),
        bookmark_ms=token.bookmark_ms,
        later=True,
        lost=lost,
    )
