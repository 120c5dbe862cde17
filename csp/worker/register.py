"""CFG.REGISTER: a connection says which application it serves, and holds that application's place.

1. The writer keeps the register of the whole server: a holder may be on any worker. Who wants a
   place that others may hold as well gets it at once, and the writer is told of many together.
2. A place ends with its connection, or with the worker; after a restart of the writer the worker
   registers what it has again.
3. The same instance takes its own place at once: its older connection is closed. Connections of
   one process of a configuration server share the place, and may call what is for servers.
4. Who registers gets a token, but for configuration servers; who was restored by one registers as
   the same application.
5. Who says KEEPALIVE is ended when it is silent for so long (silences.py); what the other end
   may expect of this one is its own business: a PING is answered.
"""

from __future__ import annotations

from typing import Any

import orjson

from csp.errors import BadValue, Busy, CspError, MasterDown, NoPerm, NoRef, Stale
from csp.model.feed import COMPRESSION
from csp.model.redundancy import is_server
from csp.model.rights import EXECUTE, READ
from csp.process.application import APPLICATION
from csp.process.channel.asking import Absent, Answer, Broken, Done, Fail
from csp.process.ports import Purpose
from csp.resp.encode import encode, error
from csp.resp.values import Value
from csp.worker.backup import backup_of
from csp.worker.call import Call, Handler, Lane
from csp.worker.cluster import words_of
from csp.worker.purposes import check_application, purpose_of
from csp.worker.refusal import NOT_INTEGER, SYNTAX, number, text_of

TEXT_CHARACTERS_MAX = 255
MINREV_WAIT_MS = 5_000
TOGETHER_MS = 20  # within which sessions that have come and gone are told of together
_SESSION = "register"  # the purpose under which an end is noted


class Registrations:
    """What this worker's connections have registered."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._wishes: dict[int, dict[str, Any]] = {}
        # Of applications that many sessions may serve: thousands come and go at once.
        self._shared: dict[int, dict[str, Any]] = {}
        self._ended: list[str] = []
        self._is_soon = False

    def __len__(self) -> int:
        return len(self._wishes)

    def session_of(self, conn: int) -> str:
        """Unique in the server: connection ids are."""
        return f"{self._lane.info.slot}-{self._lane.loop.session(conn).id}"

    def add(self, conn: int, wish: dict[str, Any], replaced: list[str]) -> None:
        """Notes a place that the writer gave, and closes the connections whose place it took."""
        self._wishes[conn] = wish
        state = self._lane.states[conn]
        state.application = str(wish["application"])
        session = self._lane.loop.session(conn)
        session.server = wish["shared"]
        session.peer_first = False  # who is not the peer was refused a place
        session.application_dbid = wish["dbid"]
        state.on_close[_SESSION] = lambda: self._remove(conn)
        for other, held in list(self._wishes.items()) if replaced else ():
            if held["session"] in replaced and other != conn:
                self._lane.states[other].why_ending = "its application took the place again"
                self._lane.loop.close(other)

    def _remove(self, conn: int) -> None:
        wish = self._wishes.pop(conn, None)
        state = self._lane.states.get(conn)
        if state is not None:
            session = self._lane.loop.session(conn)
            session.server = False
            session.peer_first = purpose_of(self._lane, session) is Purpose.HA_SYNC
            session.application_dbid = 0
            state.application = ""
            state.on_close.pop(_SESSION, None)
        if wish is None:
            return
        if wish["daemon"]:  # its place is free at once
            self._lane.writer.ask("UNREGISTER", orjson.dumps([wish["session"]]), then=_ignore)
        else:
            self._ended.append(str(wish["session"]))
            self._soon()

    def share(self, conn: int, wish: dict[str, Any]) -> None:
        """Takes a place that many may hold; without a writer it is told when there is one."""
        self._shared[conn] = wish
        self.add(conn, wish, [])
        self._soon()

    def ask_again(self, conn: int, wish: dict[str, Any]) -> None:
        """Asks for the place of a restored session, which may be somebody else's by now.

        Without a writer it is asked for when there is one.
        """

        if not wish["daemon"]:
            self.share(conn, wish)
            return

        def answered(answer: Answer) -> None:
            if conn in self._lane.states and not isinstance(answer, Fail):
                told = orjson.loads(answer.parts[-1]) if isinstance(answer, Done) else {}
                self.add(conn, wish, list(told.get("replaced", ())))

        self._lane.writer.ask("REGISTER", orjson.dumps(wish), then=answered)

    def _soon(self) -> None:
        if not self._is_soon:
            self._is_soon = True
            self._lane.loop.call_later(TOGETHER_MS, self._tell_together)

    def _tell_together(self) -> None:
        """Tells the writer who has come and who has gone; nobody waits for an answer."""
        self._is_soon = False
        shared, self._shared = self._shared, {}
        ended, self._ended = self._ended, []
        wishes = [wish for conn, wish in shared.items() if self._wishes.get(conn) is wish]
        if wishes:
            self._lane.writer.ask("REGISTER", orjson.dumps(wishes), then=_ignore)
        if ended:
            self._lane.writer.ask("UNREGISTER", orjson.dumps(ended), then=_ignore)

    def register_again(self) -> None:
        """The writer was restarted: its register is empty."""
        for conn, wish in list(self._wishes.items()):
            self._again(conn, wish)

    def _again(self, conn: int, wish: dict[str, Any]) -> None:
        def answered(answer: Answer) -> None:
            # Another instance was faster: this one has lost its place.
            if isinstance(answer, Fail) and conn in self._wishes:
                self._lane.loop.close(conn)

        self._lane.writer.ask("REGISTER", orjson.dumps(wish), then=answered)


def _ignore(_: Answer) -> None:
    """A place whose end can't be told ends with the channel."""


def register(call: Call) -> None:
    """CFG.REGISTER application [MINREV r] [KEEPALIVE l r] [INSTANCE id] [HOST h] [PID n]"""
    lane, conn = call.lane, call.conn
    _text("application", call.args[1])
    options = _options(call.args[2:])
    application = _application(call, call.args[1])
    if call.state.restored not in (0, application["DBID"]):
        raise NoPerm("the token of this session is another application's: sign in with a password")
    check_application(call, application)
    wish = wish_of(call, application, options)

    def watch() -> None:
        _, remote_ms = options.get("keepalive", (0, 0))
        lane.silences.hold(conn, remote_ms, is_server=wish["shared"])

    def reached(there: bool) -> None:
        if not there:
            text = f"revision {options['minrev']} is not here yet; at {lane.reader.revision}"
            lane.finish(conn, error(Stale(text).line))
            return
        if not wish["daemon"]:
            if conn in lane.states:
                lane.registrations.share(conn, wish)
                watch()
                lane.finish(conn, encode(_granted(call, wish), call.proto))
            return
        lane.writer.ask("REGISTER", orjson.dumps(wish), then=answered)

    def answered(answer: Answer) -> None:
        match answer:
            case Done(parts):
                if conn not in lane.states:
                    return
                told = orjson.loads(parts[-1])
                lane.registrations.add(conn, wish, list(told.get("replaced", ())))
                watch()
                lane.finish(conn, encode(_granted(call, wish), call.proto))
            case Fail(text):
                lane.finish(conn, error(text))
            case Absent(why):
                lane.finish(conn, error(Busy(f"can't register now: {why}").line))
            case Broken(why):
                lane.finish(conn, error(MasterDown(why).line))

    lane.publications.wait(options.get("minrev", 0), MINREV_WAIT_MS, reached)


def wish_of(call: Call, application: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """What the writer is asked for."""
    return {
        "session": call.lane.registrations.session_of(call.conn),
        "application": application["name"],
        "dbid": application["DBID"],
        "daemon": application.get("isServer") is True,
        "shared": is_server(application),
        "instance": options.get("instance", ""),
        "host": options.get("host", ""),
        "pid": options.get("pid", 0),
        "address": call.session.address,
    }


def _options(args: list[bytes]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    at = 0
    while at < len(args):
        word, values = args[at].lower(), args[at + 1 :]
        if word == b"keepalive" and len(values) >= 2:
            found["keepalive"] = (_positive(word, values[0]), _positive(word, values[1]))
            at += 3
        elif word in (b"minrev", b"pid") and values:
            found[word.decode()] = _positive(word, values[0])
            at += 2
        elif word in (b"instance", b"host") and values:
            found[word.decode()] = _text(word.decode(), values[0])
            at += 2
        else:
            raise CspError(SYNTAX)
    return found


def _positive(word: bytes, data: bytes) -> int:
    value = number(data, NOT_INTEGER)
    if value < 0:
        raise BadValue(f"{word.decode().upper()} {value} is negative")
    return value


def _text(what: str, data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BadValue(f"{what} is not UTF-8") from None
    if not text.isprintable() or not 0 < len(text) <= TEXT_CHARACTERS_MAX:
        raise BadValue(f"{what} needs 1 to {TEXT_CHARACTERS_MAX} printable characters")
    return text


def _application(call: Call, name: bytes) -> dict[str, Any]:
    """What counts here of the Application, where it may be read and executed."""
    # Not as the session sees it: what it serves need not lie in this proxy's scope.
    found = call.lane.applications.named(call.lane.reader, name)
    dbid = 0 if found is None else int(found["DBID"])
    rights = call.lane.loop.rights_on(call.conn, APPLICATION.id, dbid) if dbid else 0
    if found is None or not rights & READ:
        raise NoRef(f"there is no application {text_of(name)}")
    if not rights & EXECUTE:
        raise NoPerm(f"{APPLICATION.name}:{dbid} needs Execute, for those who serve it")
    return found


def _granted(call: Call, wish: dict[str, Any]) -> dict[Value, Value]:
    reader = call.lane.reader
    facts, call.state.facts = call.state.facts or {}, None  # told once
    found: dict[Value, Value] = {
        "session": str(wish["session"]),
        "token": call.lane.tokens.make(call.conn),
        "stream": reader.stream.hex(),
        "revision": reader.revision,
        "mark": f"{reader.mark:016x}",
        "restored": int(call.state.restored != 0),
        "application_dbid": int(wish["dbid"]),
        "role": call.lane.role,
        "release": call.lane.info.release,
        "compression": COMPRESSION,
    }
    found.update(words_of(call.lane, call.conn))
    found.update(backup_of(call.lane, call.conn))
    found.update(facts)
    return found


HANDLERS: dict[str, Handler] = {"cfg.register": register}
