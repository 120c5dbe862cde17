"""Signs a client in by the certificate that it showed, where its port says whose certificates are.

1. Whose it is, the port says (`certificate-user`): the user name is the certificate's common name,
   or one of its URIs is `csp:<user name>` or somebody's external ID. The authority is trusted
   for that: the port's `trusted-ca` signs nobody else.
2. Auth decides as of a password: disabled, locked, unused for too long, too many sessions.
3. Whom it names nobody here, or auth refuses, is not signed in; a password may do that, but not of
   an account that is `certificate-only`.
4. Requests wait until that is decided, and while the store is loaded.
5. Who came by a certificate that was revoked since is ended, signed in by it or not; so is who
   began before the list came, and ended the handshake after it.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import orjson

from csp._fastpath import TlsContext
from csp.errors import CspError
from csp.model.keys import KEYS
from csp.model.sessions import CERTIFICATE
from csp.model.types import CLASSES
from csp.observe.events import log_event
from csp.process.application import dbid_of
from csp.process.channel.asking import Absent, Answer, Broken, Done, Fail
from csp.worker.call import Call, Lane, State
from csp.worker.handshake import AUTH_RETRIES_MAX, AUTH_RETRY_MS, host_of, take_account

PERSON: Final = CLASSES["CfgPerson"]
EXTERNAL: Final = KEYS[PERSON.name, "external_id"].key_id
USER_URI: Final = "csp:"
LOADING_MS: Final = 250
SLICE_SESSIONS: Final = 100  # of those that are looked at for a new list, some 1 ms
ENDED: Final = "its certificate was revoked"

log = logging.getLogger("csp.worker")


def user_of(lane: Lane, way: str, shown: dict[str, Any]) -> str:
    """Who a certificate names, by the port's `certificate-user`; "" for nobody, or for several."""
    if way == "cn":
        name = str(shown["common_name"])
        return name if name and dbid_of(lane.reader, PERSON.name, "user_name", name) else ""
    found: set[str] = set()
    for uri in shown["uris"]:
        if uri.startswith(USER_URI):
            name = uri.removeprefix(USER_URI)
            if name and dbid_of(lane.reader, PERSON.name, "user_name", name):
                found.add(name)
        for dbid in lane.reader.find(EXTERNAL, uri.encode()):
            person = lane.reader.get(PERSON.id, dbid)
            if person is not None:
                found.add(str(orjson.loads(person)["userName"]))
    return found.pop() if len(found) == 1 else ""


@dataclass(slots=True)
class SignIn:
    """One connection that waits to hear who it is."""

    lane: Lane
    conn: int
    way: str
    shown: dict[str, Any]
    retries: int = AUTH_RETRIES_MAX
    user: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more: the client has gone."""
        return not self.lane.certificates.waits(self.conn)

    def begin(self) -> None:
        """Finds out who it is, as soon as anybody is known."""
        if self.is_over:
            return
        lane = self.lane
        if lane.loading or lane.awaits_ports:
            lane.loop.call_later(LOADING_MS, self.begin)
            return
        self.user = user_of(lane, self.way, self.shown)
        self.ask()

    def ask(self) -> None:
        """Asks auth, again where it is being restarted."""
        if not self.is_over:
            host = host_of(self.lane.loop.session(self.conn))
            name = self.shown["common_name"]
            self.lane.auth.ask("CERTIFICATE", host, self.user, name, then=self._answered)

    def _answered(self, answer: Answer) -> None:
        if self.is_over:
            return
        match answer:
            case Done(parts):
                self._take(orjson.loads(parts[0]))
            case Absent() | Broken() if self.retries:
                self.retries -= 1
                self.lane.loop.call_later(AUTH_RETRY_MS, self.ask)
                return
            case Fail(text) if text.startswith("LOADING "):
                self.lane.loop.call_later(LOADING_MS, self.begin)
                return
            case _:
                pass  # auth has told its log why
        self.lane.certificates.decided(self.conn)

    def _take(self, told: dict[str, Any]) -> None:
        """What auth has decided, done."""
        lane, conn = self.lane, self.conn
        if "note" in told:
            lane.account_notes.add(told["note"])
        session = lane.loop.session(conn)
        if session.authenticated:
            return
        state = lane.states.setdefault(conn, State())
        call = Call(lane, conn, session, state, "", [])
        try:
            take_account(call, told, CERTIFICATE)
        except CspError as refusal:
            host = host_of(session)
            lane.auth.ask("REFUSED", host, self.user, refusal.line, then=lambda _: None)


class Certificates:
    """The connections of one worker whose clients have shown a certificate."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._ports: dict[int, int] = {}  # by connection: by which port it came
        self._waiting: set[int] = set()
        self._contexts: dict[int, TlsContext] = {}  # by port: the newest
        self._accounts: dict[int, int] = {}  # by connection: whose it is by its certificate
        self._to_look_at: deque[tuple[int, TlsContext]] = deque()
        self._ended: dict[int, int] = {}  # by port: how many were ended
        self._is_soon = False

    def certified(self, conn: int) -> None:
        """The handshake of a port that asks for certificates is over; requests wait."""
        lane = self._lane
        session = lane.loop.session(conn)
        shown = session.certificate
        port = lane.info.ports[session.port]
        way = port.tls.get("certificate-user", "")
        if shown is not None:
            self._ports[conn] = port.number
            context = self._contexts.get(port.number)
            if context is not None and session.is_revoked(context):
                self._end(conn)
                log_event(log, "51230", port=port.id, count=1)
                return
        if shown is None or not way:
            lane.admit(conn)
            return
        self._waiting.add(conn)
        SignIn(lane, conn, way, shown).begin()

    def waits(self, conn: int) -> bool:
        """Whether who it is is still to be decided."""
        return conn in self._waiting

    def decided(self, conn: int) -> None:
        """Whoever it is now: its requests are answered from here on."""
        self._waiting.discard(conn)
        self._lane.admit(conn)

    def became(self, conn: int, account: int, how: str) -> None:
        """A connection is an account's now, by whatever proved it."""
        if how == CERTIFICATE:
            self._accounts[conn] = account
        else:
            self._accounts.pop(conn, None)

    def account_of(self, conn: int) -> int:
        """Whose connection it is by its certificate; 0 where nobody is signed in by that."""
        return self._accounts.get(conn, 0)

    def closed(self, conn: int) -> None:
        """A connection has ended."""
        self._ports.pop(conn, None)
        self._accounts.pop(conn, None)
        self._waiting.discard(conn)

    def changed(self, port: int, context: TlsContext) -> None:
        """A port has other certificates: whoever came by what is revoked now is ended."""
        self._contexts[port] = context
        self._to_look_at.extend(
            (conn, context) for conn, number in self._ports.items() if number == port
        )
        self._look_soon()

    def _look_soon(self) -> None:
        if self._to_look_at and not self._is_soon:
            self._is_soon = True
            self._lane.loop.call_later(0, self._look)

    def _look(self) -> None:
        self._is_soon = False
        for _ in range(min(SLICE_SESSIONS, len(self._to_look_at))):
            self._look_at(*self._to_look_at.popleft())
        self._look_soon()
        if not self._to_look_at:
            for port, count in self._ended.items():
                log_event(log, "51230", port=self._lane.info.ports[port].id, count=count)
            self._ended.clear()

    def _look_at(self, conn: int, context: TlsContext) -> None:
        lane, port = self._lane, self._ports.get(conn)
        if port is None:
            return
        if not lane.loop.session(conn).is_revoked(context):
            return
        self._ended[port] = self._ended.get(port, 0) + 1
        self._end(conn)

    def _end(self, conn: int) -> None:
        self._lane.states.setdefault(conn, State()).why_ending = ENDED
        self._lane.loop.close(conn)
