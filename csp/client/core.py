"""Connecting, sending again, and settling lost writes: written once, as steps for a driver."""

# 1. A command whose reply was lost is sent again only if it reads.
# 2. A write carries an id. When its reply was lost, the server is asked by that id what became of
#    it; if it was done, the same command with the same id gives its reply and changes nothing; if
#    not, that id can never be done any more, and an id of our own is replaced by a new one, once.
# 3. A server that still loads is tried again like one that is not there.
# 4. Addresses are tried in turn; between two rounds it waits 0.2 s, doubling to 5 s, each ± 50 %,
#    for at most `reconnect_seconds` in all.
# 5. A server that is behind what was seen already is passed over; the next one may have it.
# 6. With `prefer_first` it goes back to an earlier address where a server is there for a minute:
#    between two calls, and between two pushes, never within one.

from __future__ import annotations

import math
import random
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from csp import __version__
from csp.client.address import Address, AddressLike, servers_of
from csp.client.incoming import Argument, Value
from csp.client.kerberos import Kerberos, Ticket
from csp.client.preference import Preference
from csp.client.problems import CannotConnect, ConnectionLost, NotApplied
from csp.client.results import Outcome
from csp.client.session import Session
from csp.client.steps import TIMEOUT_SECONDS, Close, Exchange, Open, Pause, Steps, Work
from csp.client.values import as_text
from csp.errors import (
    Busy,
    CspError,
    Loading,
    MasterDown,
    NoPerm,
    Stale,
    UnknownOutcome,
    WrongPass,
)
from csp.resp import request
from csp.secure import Tls

RETRY_SECONDS = 0.2
RETRY_SECONDS_MAX = 5.0
RECONNECT_SECONDS = 10.0
SIGN_IN_SECONDS = 10.0  # for the answer to HELLO: it may wait behind others' hashing
MINREV_MS = 5_000  # that a server is waited for which is behind; then the next one is tried
OUTCOME_SECONDS = 20.0  # for which a write whose reply was lost is asked after

SUBSCRIBING = frozenset(
    ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE")
)
_NOT_HERE = (CannotConnect, ConnectionLost, Loading, Stale)
_CANNOT_SAY_YET = (CannotConnect, ConnectionLost, Loading, MasterDown, Busy)


@dataclass(slots=True)
class Credentials:
    """Who signs in."""

    user: str = "default"
    password: str = field(default="", repr=False)


class Core:
    """What a client knows between two calls; its methods are steps for a driver."""

    def __init__(
        self,
        addresses: AddressLike | Sequence[AddressLike],
        credentials: Credentials | Kerberos | None,
        *,
        name: str,
        timeout: float | None = TIMEOUT_SECONDS,
        reconnect_seconds: float,
        outcome_seconds: float,
        is_open: Callable[[], bool],
        session: Session | None = None,
        tls: Tls | None = None,
        prefer_first: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.addresses, self.tls = servers_of(addresses, tls)
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout is a number of seconds or None, not {timeout!r}")
        self.timeout = timeout
        self.credentials = credentials
        self.name = name
        self.reconnect_seconds = reconnect_seconds
        self.outcome_seconds = outcome_seconds
        self._is_open = is_open
        self.clock = clock
        self.session = session or Session()
        self._at = 0
        self.prefer_first = prefer_first
        self._preference = Preference(self.addresses, self.tls, clock)

    @property
    def address(self) -> Address:
        """The server that is in use, or tried next."""
        return self.addresses[self._at]

    @property
    def next_address(self) -> Address:
        """The server behind that one; where there is but one, the same: a balancer has others."""
        return self.addresses[(self._at + 1) % len(self.addresses)]

    def move_to(self, address: Address) -> None:
        """The next connection is opened there."""
        if address not in self.addresses:
            self.addresses.append(address)
        self._at = self.addresses.index(address)

    # ------------------------------------------------------------------ connecting

    def connect(self) -> Steps[None]:
        """Opens a connection if there is none, trying for `reconnect_seconds`."""
        if self._is_open():
            yield from self.go_back()
        if self._is_open():
            return
        end = self.clock() + self.reconnect_seconds
        for pause in _pauses():
            try:
                yield from self._open_any()
            except _NOT_HERE as problem:
                if self.clock() + pause > end:
                    if isinstance(problem, Stale):  # said once; they may be of another history
                        self.session.seen = 0
                    raise
                yield Pause(pause)
            else:
                return

    @property
    def look_at(self) -> float:
        """When to look whether a preferred server is there; infinite: never."""
        may_return = self.prefer_first and self._at > 0 and self.reconnect_seconds > 0
        return self._preference.look_at if may_return else math.inf

    def go_back(self) -> Steps[bool]:
        """Leaves the present server for a preferred one that has been there for long; whether."""
        if self.clock() < self.look_at:
            return False
        better = yield from self._preference.better(self._at)
        if better is None:
            return False
        yield Close()
        self._at = better
        return True

    def _open_any(self) -> Steps[None]:
        """One round over the addresses; the last one's problem is raised."""
        for left in reversed(range(len(self.addresses))):
            try:
                yield Open(self.address)
                yield from self._sign_in()
            except _NOT_HERE:
                yield Close()
                self._at = (self._at + 1) % len(self.addresses)
                if not left:
                    raise
            except CspError:  # a refusal: the next server would give the same
                yield Close()
                raise
            else:
                return

    def _sign_in(self) -> Steps[None]:
        if self.credentials is None:
            return
        if not (yield from self._restored(self.credentials)):
            yield from self._prove(self.credentials)
        yield from self._register()
        library = (("LIB-NAME", "csp"), ("LIB-VER", __version__))
        named = b"".join(request("CLIENT", "SETINFO", *pair) for pair in library)
        yield Exchange(named, len(library))

    def _restored(self, credentials: Credentials | Kerberos) -> Steps[bool]:
        """Whether the session's token has signed in; one that is refused is dropped."""
        session = self.session
        user = credentials.user if isinstance(credentials, Credentials) else session.user
        if not session.token or not user:
            return False
        try:
            yield from self._hello("AUTH", user, session.token)
        except (WrongPass, NoPerm):
            session.token = ""
            return False
        return True

    def _prove(self, credentials: Credentials | Kerberos) -> Steps[None]:
        """Signs in by the password, or by a ticket."""
        if isinstance(credentials, Credentials):
            yield from self._hello("AUTH", credentials.user, credentials.password)
            return
        ticket: Ticket = yield Work(lambda: credentials.begin(self.address))
        words = request("CFG.AUTH", "GSSAPI", ticket.token)
        reply = yield from exchange_one(words, self._at_most(SIGN_IN_SECONDS))
        ticket.finish(as_text(reply))
        yield from self._hello()
        self.session.user = as_text((yield from exchange_one(request("ACL", "WHOAMI"))))

    def _hello(self, *auth: str) -> Steps[None]:
        hello: list[Argument] = ["HELLO", 3, *auth]
        if self.name:
            hello += ["SETNAME", self.name]
        yield from exchange_one(request(*hello), self._at_most(SIGN_IN_SECONDS))

    def _register(self) -> Steps[None]:
        """Makes sure that the server has what was seen, as the application if there is one."""
        session = self.session
        if session.application:
            words = ("CFG.REGISTER", session.application, "MINREV", session.seen)
            told = yield from exchange_one(request(*words), self._at_most(SIGN_IN_SECONDS))
            backup = session.granted(told)
            if backup is not None and backup not in self.addresses:
                self.addresses.append(backup)
        elif session.seen:
            words_ = ("CFG.SYNC", session.seen, "TIMEOUT", MINREV_MS)
            yield from exchange_one(request(*words_), self._at_most(SIGN_IN_SECONDS))

    def _at_most(self, seconds: float) -> float:
        """So many seconds, or the client's timeout if that is less."""
        return seconds if self.timeout is None else min(seconds, self.timeout)

    # ------------------------------------------------------------------ commands

    def call(self, *arguments: Argument) -> Steps[Value]:
        """Sends a command once; an error reply is raised."""
        refuse_subscribing(arguments)
        yield from self.connect()
        return (yield from exchange_one(request(*arguments)))

    def read_call(self, *arguments: Argument) -> Steps[Value]:
        """Sends a command that only reads; once more if its reply was lost."""
        refuse_subscribing(arguments)
        data = request(*arguments)
        yield from self.connect()
        try:
            return (yield from exchange_one(data))
        except ConnectionLost:
            if self.reconnect_seconds <= 0:
                raise
        yield from self.connect()
        return (yield from exchange_one(data))

    def pipeline(self, commands: Iterable[Sequence[Argument]]) -> Steps[list[Value]]:
        """Replies in order; errors stand among them."""
        requests = [request(*refuse_subscribing(command)) for command in commands]
        yield from self.connect()
        values: list[Value] = yield Exchange(b"".join(requests), len(requests))
        return values

    # ------------------------------------------------------------------ writes

    def write(
        self, send: Callable[[str], Steps[Value]], write_id: str, *, attempts: int = 2
    ) -> Steps[Value]:
        """The reply of the write that `send` sends under the id it is given.

        Raises UnknownOutcome if nobody could say within `outcome_seconds` what became of it, and
        NotApplied if it was not done and the id is the caller's.
        """
        used = write_id or new_write_id()
        yield from self.connect()
        try:
            return (yield from send(used))
        except (ConnectionLost, UnknownOutcome) as lost:
            outcome = yield from self._settle(used, lost)
            if outcome.state != "committed" and (write_id or attempts == 1):
                raise NotApplied(
                    f"the connection was lost before the write {used} was done; "
                    f"nothing was done, and another try needs another id"
                ) from lost
        if outcome.state == "committed":
            return (yield from self._repeat(send, used, outcome))
        return (yield from self._again(send, attempts - 1))

    def _again(self, send: Callable[[str], Steps[Value]], attempts: int) -> Steps[Value]:
        """The reply of a write that was not done and is sent anew, under another id.

        A proxy says MASTERDOWN until it follows its master again, which takes it a moment.
        """
        end = self.clock() + self.outcome_seconds
        for pause in _pauses():
            try:
                return (yield from self.write(send, "", attempts=attempts))
            except MasterDown:  # nothing was done
                if self.clock() + pause > end:
                    raise
                yield Pause(pause)
        raise AssertionError("pauses go on for ever")

    def _repeat(
        self, send: Callable[[str], Steps[Value]], write_id: str, outcome: Outcome
    ) -> Steps[Value]:
        """The reply of a write that was done, asked for once.

        Whatever comes in between is no answer: Busy, for one, would say that nothing was done.
        """
        try:
            yield from self.connect()
            return (yield from send(write_id))
        except CspError as lost:
            raise UnknownOutcome(
                f"the write {write_id} was done at revision {outcome.revision}, "
                f"but its reply could not be had ({lost}); the same command with this id gives it"
            ) from lost

    def outcome(self, write_id: str) -> Steps[Outcome]:
        """What became of the write with that id."""
        value = yield from self.read_call("CFG.OUTCOME", write_id)
        return _outcome(value)

    def _settle(self, write_id: str, lost: CspError) -> Steps[Outcome]:
        """Asks what became of a write until somebody knows."""
        end = self.clock() + self.outcome_seconds
        for pause in _pauses():
            try:
                if not self._is_open():
                    yield from self._open_any()
                left = self._at_most(max(end - self.clock(), 1.0))
                reply = yield from exchange_one(request("CFG.OUTCOME", write_id), left)
                outcome = _outcome(reply)
                if outcome.state != "unknown":
                    return outcome
            except _CANNOT_SAY_YET:
                pass  # asked again below
            if self.clock() + pause > end:
                break
            yield Pause(pause)
        raise UnknownOutcome(
            f"nobody could say within {self.outcome_seconds:g} s what became of the write; "
            f"ask CFG.OUTCOME {write_id}"
        ) from lost


def exchange_one(data: bytes, seconds: float | None = None) -> Steps[Value]:
    """The reply to one command; an error is raised."""
    (value,) = yield Exchange(data, 1, seconds)
    if isinstance(value, CspError):
        raise value
    return value


def refuse_subscribing(arguments: Sequence[Argument]) -> Sequence[Argument]:
    """The arguments, unless their answer is none: confirmations are no replies but pushes."""
    word = arguments[0] if arguments else ""
    name = word.decode("ascii", "replace") if isinstance(word, bytes) else str(word)
    if name.upper() in SUBSCRIBING:
        raise ValueError(f"{name} has no reply; use subscribe(), which gives what comes")
    return arguments


def new_write_id() -> str:
    """An id that no other write has."""
    return uuid.uuid4().hex


def _pauses() -> Iterable[float]:
    wait = RETRY_SECONDS
    while True:
        yield wait * random.uniform(0.5, 1.5)
        wait = min(2 * wait, RETRY_SECONDS_MAX)


def _outcome(value: Value) -> Outcome:
    state, _, revision = as_text(value).partition(" ")
    return Outcome(state, int(revision) if revision else None)
