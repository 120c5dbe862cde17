"""One command under way in the slow lane: who asks, what with, and what the server has at hand.

1. A handler returns the reply's bytes, or None when it will answer later through `Lane.finish`.
2. A handler refuses by raising a CspError; nothing was done then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from csp.model.token import Token
from csp.process.channel.asking import Asker
from csp.resp.encode import encode
from csp.resp.values import Value
from csp.tls.files import InForce
from csp.worker.applications import Applications
from csp.worker.asked import Asked
from csp.worker.feed import Feed
from csp.worker.guest import Guest, OpenGuest
from csp.worker.mailbox import Mailbox
from csp.worker.ports import Control, Loop, Reader, Session, View
from csp.worker.publication import Publications
from csp.worker.server_info import ServerInfo

OnClose = Callable[[], None]


@dataclass
class Queued:
    """One command that waits for EXEC."""

    name: str
    args: list[bytes]


class Forced(NamedTuple):
    """Who has shown the right password and has to change it before he is signed in."""

    user: str
    dbid: int
    credential: int


@dataclass(slots=True)
class State:
    """What the slow lane remembers of a connection beside its session; forgotten while blank."""

    awaiting: bool = False  # a reply is owed
    running: bool = False  # its handler has not returned yet
    early: bytes | None = None  # what became known before the handler returned
    # Replies of the write under way and of those behind it, in order; None: still to come.
    chain: list[bytes | None] | None = None
    queued: list[Queued] = field(default_factory=list)
    queued_bytes: int = 0
    spoiled: bool = False  # a command of the transaction was refused when it was queued
    watched: dict[tuple[int, int], int] = field(default_factory=dict)  # object -> revision
    application: str = ""
    asked: Asked = field(default_factory=Asked)
    why_ending: str = ""  # what this server ends it for
    restored: int = 0  # DBID of the Application whose token it signed in by
    forced: Forced | None = None
    is_writing: bool = False  # it is told what became of that, whatever becomes of its account
    facts: dict[str, int] | None = None  # of its account, for CFG.REGISTER to tell
    on_close: dict[str, OnClose] = field(default_factory=dict)  # by purpose

    @property
    def is_blank(self) -> bool:
        """Whether a fresh one would do as well."""
        return not (
            self.awaiting
            or self.running
            or self.queued
            or self.spoiled
            or self.watched
            or self.application
            or self.asked.sizes
            or self.restored
            or self.forced
            or self.is_writing
            or self.facts
            or self.why_ending
            or self.on_close
        )


@dataclass
class Call:
    """A command of a connection, its name resolved."""

    lane: Lane
    conn: int
    session: Session
    state: State
    name: str  # as in the table: `get`, `client|id`
    args: list[bytes]  # all, the command's own name first
    place: int = 0  # among the writes that are under way together

    def finish(self, reply: bytes) -> None:
        """Answers a deferred command."""
        self.lane.finish(self.conn, reply, self.place)

    @property
    def reader(self) -> View:
        """The store as its session may see it, in this turn; raises Loading before there is one."""
        return self.lane.reader_of(self.conn)

    @property
    def proto(self) -> int:
        """2 or 3."""
        return self.session.proto

    def encode(self, value: Value) -> bytes:
        """A reply in this connection's protocol."""
        return encode(value, self.session.proto)


Handler = Callable[[Call], "bytes | None"]


class Discovery(Protocol):
    """The subscriptions of ports for discovery."""

    def listener(self, conn: int) -> Listener:
        """What a connection has subscribed to."""

    def subscribe(self, conn: int, name: bytes, *, is_pattern: bool) -> int:
        """How many subscriptions there are then; raises TooBig."""

    def unsubscribe(self, conn: int, name: bytes, *, is_pattern: bool) -> int:
        """How many are left."""


class Listener(Protocol):
    """What one connection has subscribed to there."""

    @property
    def channels(self) -> Collection[bytes]: ...
    @property
    def patterns(self) -> Collection[bytes]: ...
    def __len__(self) -> int: ...


class Feeds(Protocol):
    """The connections that are fed."""

    def add(self, feed: Feed) -> None:
        """Starts a feed after its greeting."""


class Registrations(Protocol):
    """What connections have registered."""

    def session_of(self, conn: int) -> str:
        """Unique in the server."""

    def share(self, conn: int, wish: dict[str, Any]) -> None:
        """Takes a place that many may hold."""

    def add(self, conn: int, wish: dict[str, Any], replaced: list[str]) -> None:
        """Notes a place that the writer gave, and closes the connections whose place it took."""

    def ask_again(self, conn: int, wish: dict[str, Any]) -> None:
        """Asks for the place of a restored session, which may be somebody else's by now."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a good token leads to."""

    token: Token
    user: str
    application: dict[str, Any]
    sessions: int = 0  # most of the account on this server; 0: no limit
    certificate_only: bool = False  # of no use where the account's certificate was not shown


class Silences(Protocol):
    """The connections that have said how long they may be silent."""

    def hold(self, conn: int, timeout_ms: int, *, is_server: bool) -> None:
        """Ends the connection when it is silent for so long, milliseconds; 0: never."""


class Tokens(Protocol):
    """What tokens are worth here."""

    def sign(self) -> None:
        """Signs as the keys and the scope are now."""

    def make(self, conn: int) -> str:
        """A token for a connection that has registered."""

    def check(self, user: str, text: bytes) -> Restored:
        """What this user's token leads to; refused where it is worth nothing."""


class Tickets(Protocol):
    """Whether the master can be asked about Kerberos tickets."""

    def master_is_away(self, why: str) -> None:
        """A ticket was taken without asking it."""

    def master_has_answered(self) -> None:
        """It was asked."""


class SessionRecords(Protocol):
    """The records of this worker's sessions."""

    def note(self, conn: int, what: str, why: str = "") -> None:
        """Something happened to the session of a connection."""

    def ended(self, conn: int, why: str) -> None:
        """The session of a connection is over."""


class AccountNotes(Protocol):
    """What other servers have to know of accounts."""

    def add(self, note: dict[str, Any]) -> None:
        """Something of an account is news to others."""


class Certificates(Protocol):
    """The connections whose clients have shown a certificate."""

    def waits(self, conn: int) -> bool:
        """Whether who it is is still to be decided."""

    def decided(self, conn: int) -> None:
        """Its requests are answered from here on."""

    def became(self, conn: int, account: int, how: str) -> None:
        """A connection is an account's now, by whatever proved it."""

    def account_of(self, conn: int) -> int:
        """Whose connection it is by its certificate; 0: nobody's."""


class Bundles(Protocol):
    """The certificates of the ports, as they are in force here."""

    shown: dict[int, InForce]  # by port


class Replays(Protocol):
    """Those that are brought up to the log."""

    def keep(self, entries: list[bytes]) -> None:
        """Keeps a page of the master's log for those who come to it."""


class Redirections(Protocol):
    """What is told to connections of other workers."""

    def join(self, target: int, then: Callable[[bool], None]) -> None:
        """Asks whether a connection of another worker is there, and to be told when it ends."""

    def part(self, conn: int) -> None:
        """Another account has signed in there."""

    def leave(self, target: int, *, tell: bool = True) -> None:
        """One that was told through it has ended."""

    def answer(self, words: list[bytes], tell: Callable[[list[bytes]], None]) -> None:
        """What another worker asks and tells."""


class Lane(Protocol):
    """What a worker has at hand for its handlers; the real one is csp.worker.slowlane.SlowLane."""

    info: ServerInfo
    control: Control
    loop: Loop
    states: dict[int, State]
    guests: dict[int, Guest]
    open_guest: OpenGuest
    applications: Applications
    publications: Publications
    mailbox: Mailbox
    writer: Asker
    auth: Asker
    awaits_ports: bool  # the default port is about to demand more: nobody signs in before that
    reading: Asker  # who knows what the database keeps: of a proxy the writer, which asks above

    @property
    def discovery(self) -> Discovery: ...
    @property
    def feeds(self) -> Feeds: ...
    @property
    def redirects(self) -> Redirections: ...
    @property
    def registrations(self) -> Registrations: ...
    @property
    def silences(self) -> Silences: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def tickets(self) -> Tickets: ...
    @property
    def replays(self) -> Replays: ...
    @property
    def certificates(self) -> Certificates: ...
    @property
    def bundles(self) -> Bundles: ...
    @property
    def session_records(self) -> SessionRecords: ...
    @property
    def account_notes(self) -> AccountNotes: ...
    @property
    def reader(self) -> Reader:
        """The whole store as this turn sees it, for what no client is shown; raises Loading before
        there is one.
        """

    def reader_of(self, conn: int) -> View:
        """The store as the session of a connection may see it, in this turn; raises Loading."""

    @property
    def loading(self) -> bool:
        """Whether the first load is still under way."""

    @property
    def takes_writes(self) -> bool:
        """Whether writes are taken here now."""

    @property
    def role(self) -> str:
        """What this server is in a pair now, in csp's words."""

    @property
    def is_replica(self) -> bool:
        """Whether a client of Redis is to take it for one: there is a master that it follows."""

    def handler(self, name: str) -> Handler | None:
        """Who answers a command; None where the loop does, or nobody yet."""

    def count(self, metric: str) -> None:
        """Adds one to a metric of this worker."""

    def finish(self, conn: int, reply: bytes, place: int = 0) -> None:
        """Answers a deferred command."""

    def answered(self, conn: int) -> None:
        """The loop has made the reply of a deferred command."""

    def admit(self, conn: int) -> None:
        """It is decided who came by a certificate: the requests of the connection are answered."""

    def tell_client(self, conn: int, number: str) -> None:
        """Traces a client that signed in or went."""
