"""Answers what the loop does not: asks it whether a command may run, finds its handler, runs it.

1. A command error never closes a connection; a handler's refusal is the reply.
2. A connection has at most one deferred command, or a write and those behind it; a reply for one
   that has gone is dropped.
3. Handlers never wait: what takes time goes through a channel, a timer, or `when_published`.
"""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

from csp.errors import CspError, Loading, TooBig
from csp.observe.events import FAULT_EVENT, TRACE, log_event, words_of
from csp.process.channel.asking import Asker
from csp.process.channel.framing import AUTH_LIMITS, READING_LIMITS, WRITER_LIMITS
from csp.process.roles import AUTH, READING, WRITER
from csp.process.standing import ROLE_BACKUP, ROLE_NAMES, shown
from csp.resp.encode import error
from csp.store.control import STATE_LOADING
from csp.tables.commands import BY_NUMBER
from csp.tables.metrics import PLACES
from csp.worker import transactions
from csp.worker.account_notes import AccountNotes
from csp.worker.account_watch import AccountWatch
from csp.worker.agent import Agent
from csp.worker.applications import Applications
from csp.worker.bundles import Bundles, make_context
from csp.worker.call import Call, Handler, State
from csp.worker.certificates import Certificates
from csp.worker.cluster import pool_address
from csp.worker.discovery import Discovery
from csp.worker.discovery_commands import handler_at
from csp.worker.feed_server import Feeds
from csp.worker.guest import Guest, OpenGuest
from csp.worker.halves import is_serving
from csp.worker.handlers import HANDLERS, QUESTIONS
from csp.worker.mailbox import Mailbox, Tell, Words
from csp.worker.own_options import Following
from csp.worker.ports import Control, Loop, Reader, View
from csp.worker.publication import Publications
from csp.worker.redirects import Redirects
from csp.worker.refusal import text_of
from csp.worker.register import Registrations
from csp.worker.replays import Replays
from csp.worker.server_info import ServerInfo
from csp.worker.session_records import ENDED_HERE, SessionRecords
from csp.worker.silences import Silences
from csp.worker.states import States
from csp.worker.strangers import Strangers
from csp.worker.tickets import Tickets
from csp.worker.tokens import Tokens
from csp.worker.turned_away import TurnedAway

log = logging.getLogger(__name__)

# What other protocols begin with; Redis closes at the same two.
OTHER_PROTOCOLS = (b"POST", b"HOST:")
ADDRESS = re.compile(rb"[\w.:\[\]%-]{1,255}")  # it is put into JSON as it is
# Writes of one worker that wait for the writer: beyond, each connection has one (asking.py has the
# limit behind which they are refused).
BEHIND_IN_FLIGHT_MAX = 2_000
WARNED_SECONDS = 60.0  # between two warnings of one worker


class SlowLane:
    """The slow lane of one worker."""

    def __init__(self, info: ServerInfo, control: Control, open_guest: OpenGuest) -> None:
        self.info = info
        self.control = control
        self.open_guest = open_guest
        self.states: dict[int, State] = {}
        self.guests: dict[int, Guest] = {}
        self.awaits_ports = False
        self._warned_s = -WARNED_SECONDS

    def start(self, loop: Loop) -> None:
        """Joins the loop and opens the channels."""
        self.loop = loop
        self.applications = Applications()
        self.publications = Publications(loop)
        self.feeds = Feeds(self)
        self.discovery = Discovery(self)
        self.agent = Agent(self)
        self.registrations = Registrations(self)
        self.silences = Silences(self)
        self.replays = Replays(self)
        self.session_records = SessionRecords(self)
        self.account_notes = AccountNotes(self)
        self.account_watch = AccountWatch(self)
        self.states_shown = States(self)
        self.tokens = Tokens(self)
        self.tokens.start()
        self.tickets = Tickets()
        self.own_options = Following(self)
        self.own_options.start()
        self.turned_away = TurnedAway(self)
        self.turned_away.start()
        self.certificates = Certificates(self)
        self.bundles = Bundles(self, make_context, self.certificates.changed)
        self.bundles.start()
        self.strangers = Strangers(self)
        self.strangers.start()
        folder = Path(self.info.folder)
        self.writer = Asker(
            loop,
            str(folder / WRITER.socket_name),
            WRITER_LIMITS,
            connected=self.registrations.register_again,
        )
        self.auth = Asker(loop, str(folder / AUTH.socket_name), AUTH_LIMITS, together=True)
        # Who knows what the database keeps; a proxy's writer asks its master.
        self.reading = self.writer
        if self.info.mode in READING.modes:
            self.reading = Asker(loop, str(folder / READING.socket_name), READING_LIMITS)
            self.reading.open()
        slot, count = self.info.slot, self.info.worker_count
        self.mailbox = Mailbox(loop, folder, slot, count, self._asked)
        self.writer.open()
        self.auth.open()
        self.mailbox.open()
        self.redirects = Redirects(self)
        self.redirects.start()

    def command(self, conn: int, args: list[bytes]) -> bytes | None:
        """Runs one command; None: the reply comes later."""
        try:
            return self._command(conn, args)
        finally:
            self._forget_blank(conn)

    def _forget_blank(self, conn: int) -> None:
        """An idle connection has no state here: ten thousand of them would take megabytes."""
        state = self.states.get(conn)
        if state is not None and state.is_blank:
            del self.states[conn]

    def _command(self, conn: int, args: list[bytes]) -> bytes | None:
        state = self.states.get(conn)
        if state is None:
            state = self.states[conn] = State()
        session = self.loop.session(conn)
        number, refusal = self.loop.judge(conn, args)
        command = BY_NUMBER.get(number)
        if command is None and args[0].upper() in OTHER_PROTOCOLS:
            return self._turn_away(conn, session.address)
        if refusal or command is None:
            state.spoiled = state.spoiled or session.in_multi
            if command is not None and command.name == "EXEC":
                transactions.end(session, state)
            return refusal
        call = Call(self, conn, session, state, command.shown, args)
        try:
            if session.in_multi and "control" not in command.flags:
                return transactions.queue(call)
            return self.run(call)
        except CspError as error_:
            # As in Redis, a MULTI or WATCH that is refused inside MULTI spoils nothing.
            if session.in_multi and "control" not in command.flags:
                state.spoiled = True
            return refused(error_)

    def _turn_away(self, conn: int, address: str) -> bytes:
        """A web page may make a browser on this network send us its text: nothing of it is run."""
        now_s = time.monotonic()
        if now_s - self._warned_s > WARNED_SECONDS:
            self._warned_s = now_s
            log_event(log, "51201", address=address)
        self.loop.close(conn)
        return b""

    def handler(self, name: str) -> Handler | None:
        """Who answers a command; None where the loop does, or nobody yet."""
        return HANDLERS.get(name)

    def run(self, call: Call) -> bytes | None:
        """Runs a command that may run; what has no handler is marked `later`."""
        handler = handler_at(call) or self.handler(call.name)
        if handler is None:
            raise CspError(f"{call.name.upper().replace('|', ' ')} is not supported yet")
        state = call.state
        state.awaiting = state.running = True
        state.early = None
        try:
            reply = handler(call)
            if reply is None:
                reply = state.early
        finally:
            state.awaiting = state.running = False
        state.awaiting = reply is None
        state.is_writing = state.is_writing and state.awaiting
        return reply

    @property
    def reader(self) -> Reader:
        """The whole store as this turn sees it."""
        if self.loop.reader is None:
            raise Loading()
        return self.loop.reader

    def reader_of(self, conn: int) -> View:
        """The store as the session of a connection may see it, in this turn."""
        view = self.loop.reader_of(conn)
        if view is None:
            raise Loading()
        return view

    @property
    def loading(self) -> bool:
        """Whether the first load is still under way."""
        return self.control.state == STATE_LOADING or self.loop.reader is None

    @property
    def takes_writes(self) -> bool:
        """Whether writes are taken here now."""
        return self.control.writable and self.control.role != ROLE_BACKUP

    @property
    def role(self) -> str:
        """What this server is in a pair now, in csp's words."""
        return ROLE_NAMES[self.control.role]

    @property
    def is_replica(self) -> bool:
        """Whether a client of Redis is to take it for one: another serves, and this one stands by.

        A proxy that serves is none: clients of Redis look for a master, and csp's writes go on.
        """
        return not is_serving(self)

    def behind(self, conn: int, args: list[bytes]) -> bool:
        """Runs a write that stands behind one under way: the replies leave together, in order.

        False where so many wait for the writer that it had better wait for its turn.
        """
        if self.writer.in_flight >= BEHIND_IN_FLIGHT_MAX:
            return False
        state = self.states[conn]
        chain = state.chain = state.chain or [None]
        call = Call(self, conn, self.loop.session(conn), state, "", args, len(chain))
        chain.append(None)
        number, refusal = self.loop.judge(conn, args)
        reply: bytes | None = refusal
        try:
            if not refusal:
                call.name = BY_NUMBER[number].shown
                reply = HANDLERS[call.name](call)
        except CspError as error_:
            reply = refused(error_)
        except Exception as error_:
            text = words_of("51190", doing="a write behind another")
            log.exception("%s", text, extra=FAULT_EVENT)
            reply = refused(CspError(f"internal error ({type(error_).__name__})"))
        if reply is not None:
            call.finish(reply)
        return True

    def finish(self, conn: int, reply: bytes, place: int = 0) -> None:
        """Answers a deferred command."""
        state = self.states.get(conn)
        if state is None or not state.awaiting:
            return
        if state.chain is not None:
            state.chain[place] = reply
            known = [one for one in state.chain if one is not None]
            if len(known) < len(state.chain):
                return
            state.chain, reply = None, b"".join(known)
        if state.running:
            state.early = reply
            return
        state.awaiting = state.is_writing = False
        self._forget_blank(conn)
        self.loop.reply(conn, reply)

    def answered(self, conn: int) -> None:
        """The loop has made the reply of a deferred command."""
        state = self.states.get(conn)
        if state is not None:
            state.awaiting = state.is_writing = False
            self._forget_blank(conn)

    def too_many(self, conn: int, name: bytes, count: int) -> bytes:
        """Refuses a command with more arguments than are listed."""
        if self.loop.session(conn).in_multi:
            self.states.setdefault(conn, State()).spoiled = True
        shown = text_of(name[:64])
        return refused(TooBig(f"{count} arguments are more than '{shown}' takes here"))

    def closed(self, conn: int, why: str) -> None:
        """Forgets a connection that has ended; `why` is "" where this lane ended it."""
        self.replays.closed(conn)
        self.states_shown.closed(conn)
        self.tell_client(conn, "51205")
        state = self.states.get(conn)
        self.session_records.ended(conn, why or (state.why_ending if state else "") or ENDED_HERE)
        self.states.pop(conn, None)
        self.certificates.closed(conn)
        if state is None:
            return
        for undo in list(state.on_close.values()):
            undo()

    def certified(self, conn: int) -> None:
        """A client has shown its certificate, or none where it was asked for one."""
        self.certificates.certified(conn)

    def handshakes_failed(self, count: int, address: str, port: int, reason: str) -> None:
        """Of this worker's clients, since this was said last: at once, and then once a minute."""
        ports = self.info.ports
        name = ports[port].id if port < len(ports) else str(port)
        fields = {"port": name, "count": count, "address": address, "reason": reason}
        log_event(log, "51289", **fields)

    def moving_to(self) -> bytes:
        """HOST:PORT where clients go that have to leave this server; empty: nothing is known."""
        address = (shown(self.control).peer_address or pool_address(self)).encode()
        return address if ADDRESS.fullmatch(address) else b""

    def admit(self, conn: int) -> None:
        """It is decided who came by a certificate: the requests of the connection are answered."""
        self._forget_blank(conn)
        self.loop.admit(conn)

    def tell_client(self, conn: int, number: str) -> None:
        """Traces a client that signed in or went."""
        if not log.isEnabledFor(TRACE):
            return
        session = self.loop.session(conn)
        if session.authenticated:
            fields = {"session": session.id, "address": session.address, "user": session.user}
            log_event(log, number, **fields)

    def fetch(self, conn: int, revision: int, mark: int | None, unsure: bool) -> None:
        """What a subscriber is to be told next has left the log."""
        self.replays.fetch(conn, revision, mark, unsure)

    def show_states(self, conn: int) -> None:
        """A subscriber is to see the objects that there are."""
        self.states_shown.show(conn)

    def writable(self, conn: int) -> None:
        """A feed may go on."""
        self.feeds.writable(conn)

    def feed(self) -> None:
        """Something was published: feeds get it before clients hear of it."""
        self.feeds.published()

    def agent_line(self) -> bytes:
        """What balancers are told that connect at a port for that."""
        return self.agent.line()

    def count(self, metric: str) -> None:
        """Adds one to a metric of this worker."""
        self.control.count(self.info.slot, PLACES[metric])

    def published(self, revision: int) -> None:
        """Tells those who wait for a revision, after the clients."""
        self.publications.published(revision)

    def attached(self) -> None:
        """There is another generation, of which nobody was answered yet."""
        self.own_options.look()
        self.tokens.sign()

    def accounts_changed(self, accounts: list[int] | None) -> None:
        """Persons, or their passwords, have changed; None: anybody's may have."""
        self.account_watch.changed(accounts)

    def invalidate(self, target: int, keys: list[bytes] | None) -> None:
        """What a connection has read has changed, and one of another worker is told so."""
        self.redirects.invalidate(target, keys)

    def stop(self) -> None:
        """Ends the channels; the loop has closed the connections."""
        self.session_records.stop()
        self.writer.close()
        self.auth.close()
        self.mailbox.close()

    def _asked(self, words: Words, tell: Tell) -> None:
        """Another worker asks."""
        try:
            answer = QUESTIONS.get(words[0])
            if answer is not None:
                answer(self, words[1:], tell)
        except (CspError, ValueError) as problem:
            log_event(log, "51191", question=str(problem))


def refused(refusal: CspError) -> bytes:
    """The one place where an exception becomes a reply."""
    return error(refusal.line)
