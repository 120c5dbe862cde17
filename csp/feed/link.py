"""Holds one non-blocking connection to the master: connects, signs in, and passes values on.

1. Commands are answered in order; what a feed sends after its own command, and every push, goes to
   `on_value`.
2. A link that broke stays broken: the owner makes a new one.
3. `on_broken` is called once, with the reason in words, and never from within a constructor;
   where the master refuses the sign-in it is `on_refused`, with the word of its error too.
4. Every command is answered once: by the master, or by an error when the link breaks.
5. No secret stands in a reason.
6. A fault in what the master sent ends the link, never the process; it is told as a refusal.
7. It says something at least each `Keepalive.sign_ms`, a PING if there is nothing else; a master
   that works answers it at once, so silence means that there is none.
"""

from __future__ import annotations

import errno
import logging
import os
import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TypeGuard

from csp.feed.route import Route
from csp.model.feed import PACKED, REASON_CHARACTERS_MAX
from csp.model.packing import Unpacker
from csp.observe.events import FAULT_EVENT, words_of
from csp.process.context import Upstream
from csp.process.polling import Descriptor
from csp.resp import MORE, Decoder, ErrorReply, ProtocolError, Push, Simple, Value, request
from csp.secure import SecureSocket, why_broken

FAULT = "FAULT"  # stands for the word of a refusal where it was not the master that refused
CONNECT_MS_MAX = 5_000  # a host that is down answers nothing at all
SIGN_IN_MS_MAX = 60_000  # a master that verifies a thousand passwords at once is slow, not dead
FIRST_WORD_MS_MAX = 10_000  # one that is not dead answers a PING before that
# Forwards of all clients at once stay below that; more means that the master takes nothing.
UNSENT_BYTES_MAX = 64 * 1024 * 1024
PONG = Simple("PONG")
PONG_BYTES = b"+PONG\r\n"
RECEIVE_BYTES = 1024 * 1024  # one turn's read: some 1,000 records, about 10 ms of loading
RECEIVE_PACKED_BYTES = 128 * 1024  # the same where it comes packed

log = logging.getLogger("csp.feed")


class LinkState(Enum):
    """Where a link stands."""

    CONNECTING = "the connection is being made"
    SECURING = "it is made, and TLS is agreed on"
    SIGNING_IN = "HELLO was sent and is not answered"
    READY = "signed in: commands and feeds run"
    BROKEN = "closed, for good"


class Link:
    """One connection to the master."""

    def __init__(
        self,
        route: Route,
        upstream: Upstream,
        *,
        title: str,
        number: int,
        now_ms: int,
        on_ready: Callable[[], None],
        on_value: Callable[[Value], None],
        on_broken: Callable[[str], None],
        on_refused: Callable[[str, str], None],
    ) -> None:
        self.state = LinkState.CONNECTING
        self.paused = False  # the owner takes no values for now
        self.heard_ms = now_ms  # monotonic: when a byte last came
        self.is_kept = False  # registered: whatever the master does, PINGs are answered
        self.route = route
        self._upstream = upstream
        self._title = title
        self._on_ready = on_ready
        self.on_value = on_value  # the owner may change it as the feed goes on
        # What may take values off the received bytes before `on_value`: see Decoder.lend.
        self.on_bytes: Callable[[memoryview], tuple[int, bool]] | None = None
        self.on_drained: Callable[[], None] = lambda: None  # all that was to be sent is
        self._on_broken = on_broken
        self._on_refused = on_refused
        self._answers: deque[Callable[[Value], None]] = deque()
        self._unsent = bytearray()
        self._decoder = Decoder()
        self._unpacker: Unpacker | None = None
        self._unpacked = Decoder()  # of the frames that came packed
        self._pieces: Iterator[bytes] | None = None  # what is left of a packed frame
        self._started_ms = self._said_ms = now_ms
        self._heard = self._has_heard = self._said = False
        self._streams = self._streamed = False
        self._streamed_ms = now_ms
        self._why = ""  # a reason found in the constructor, told in the first tick
        self._socket: socket.socket | SecureSocket | None = None
        try:
            self._socket = route.open(number)
        except OSError as error:
            self._why = why_broken(error)

    def command(self, *arguments: bytes | str | int, answer: Callable[[Value], None]) -> None:
        """Sends a command; its reply goes to `answer`."""
        self._answers.append(answer)
        self._send(request(*arguments))

    def stream(self, *arguments: bytes | str | int) -> None:
        """Sends a command whose replies go to `on_value`, without end."""
        self._streams = True
        self._send(request(*arguments))

    @property
    def unsent_bytes(self) -> int:
        """What waits for the socket."""
        return len(self._unsent)

    def unpack(self) -> None:
        """What is streamed may come packed from now on."""
        self._unpacker = Unpacker()

    def add(self, *arguments: bytes | str | int) -> None:
        """As `stream`, but what was added goes out with the next `send`."""
        self._unsent += request(*arguments)

    def send(self) -> None:
        """Sends what the socket takes."""
        self._send(b"")

    def watch(self) -> Descriptor | None:
        """What the loop should watch now."""
        if self._socket is None:
            return None
        events = 0 if self.paused else selectors.EVENT_READ
        if self.state is LinkState.SECURING:
            assert isinstance(self._socket, SecureSocket)
            wants_write = self._socket.wants_write
        else:
            wants_write = bool(self._unsent) or self.state is LinkState.CONNECTING
        if wants_write:
            events |= selectors.EVENT_WRITE
        return Descriptor(self._socket.fileno(), events, self.ready) if events else None

    def ready(self) -> None:
        """The socket can be read or written."""
        with self._containing_faults():
            if self.state is LinkState.CONNECTING:
                self._finish_connect()
            if self.state is LinkState.SECURING:
                self._go_on_securing()
            if self._is_connecting:
                return
            if self._unsent:
                self._flush()
                if not self._unsent:
                    self.on_drained()
            if not self.paused:
                self._receive()

    @contextmanager
    def _containing_faults(self) -> Iterator[None]:
        """Nothing that a master sends ends this process: it ends the link."""
        try:
            yield
        except OSError as error:
            self.close(why_broken(error))
        except ProtocolError as error:
            self.close(f"it does not speak the feed's protocol: {error}", FAULT)
        except Exception as error:
            log.exception("%s", words_of("51190", doing="what the master sent"), extra=FAULT_EVENT)
            self.close(f"what it sent can't be taken: {error!r}"[:REASON_CHARACTERS_MAX], FAULT)

    def tick(self, now_ms: int) -> None:
        """Gives up what takes too long."""
        if self._heard:
            self._heard = False
            self.heard_ms = now_ms
        if self._streamed:
            self._streamed = False
            self._streamed_ms = now_ms
        self._say_something(now_ms)
        if self._why:
            self.close(self._why)
        elif self._is_connecting and now_ms - self._started_ms > CONNECT_MS_MAX:
            what = "no answer" if self.state is LinkState.CONNECTING else "TLS was not agreed on"
            self.close(f"{what} within {CONNECT_MS_MAX} ms")
        elif self.state is LinkState.SIGNING_IN and now_ms - self._started_ms > self._patience_ms:
            what = "not signed in" if self._has_heard else "it accepts, and says nothing"
            self.close(f"{what} within {self._patience_ms} ms")
        elif self.state is LinkState.CONNECTING:
            # A loopback connection is refused at once, and a poll may have missed it.
            self.ready()

    @property
    def _patience_ms(self) -> int:
        """For how long the answer to the sign-in is awaited."""
        return SIGN_IN_MS_MAX if self._has_heard else FIRST_WORD_MS_MAX

    def _say_something(self, now_ms: int) -> None:
        """Gives the master a sign of life, and asks for one, where nothing was said for long."""
        if self._said:
            self._said = False
            self._said_ms = now_ms
        if self.state is not LinkState.READY:
            return
        if now_ms - self._said_ms >= self._upstream.keepalive.sign_ms:
            if self._streams:
                self._send(request("PING"))
            else:
                self.command("PING", answer=_ignore)

    def is_silent(self, now_ms: int, most_ms: int) -> bool:
        """Whether nothing came for longer than it may be, or nothing but answers to PINGs of what
        is to be streamed: that may take `most_ms`, whatever the connection states.
        """
        if self.state is not LinkState.READY or self.paused:
            return False
        local_ms = self._upstream.keepalive.local_ms if self.is_kept else 0
        if self._streams and now_ms - self._streamed_ms > max(most_ms, local_ms):
            return True
        return now_ms - self.heard_ms > (local_ms or most_ms)

    def close(self, reason: str = "", refused: str = "") -> None:
        """Closes; with a reason the owner is told, with the word of a refusal that it is one."""
        if self.state is LinkState.BROKEN:
            return
        self.state = LinkState.BROKEN
        self._why = ""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if refused:
            self._on_refused(reason, refused)
        elif reason:
            self._on_broken(reason)
        # Whoever waits for an answer hears that none comes, after the owner knows why.
        while self._answers:
            self._answers.popleft()(ErrorReply(reason or "the link was closed"))

    def go_on(self, now_ms: int) -> None:
        """Values are taken again, first those that were received meanwhile."""
        self.heard_ms = self._streamed_ms = now_ms
        if self.paused:
            self.paused = False
            with self._containing_faults():
                self._hand_on()

    @property
    def _is_connecting(self) -> bool:
        """Whether nothing can be said yet."""
        return self.state in (LinkState.CONNECTING, LinkState.SECURING)

    def _finish_connect(self) -> None:
        assert isinstance(self._socket, socket.socket)
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        try:
            self._socket.getpeername()
        except OSError as error:
            if error.errno == errno.ENOTCONN:
                return
            raise
        if self.route.tls is None:
            self._sign_in()
        else:
            self._socket = self.route.secure(self._socket)
            self.state = LinkState.SECURING

    def _go_on_securing(self) -> None:
        assert isinstance(self._socket, SecureSocket)
        if self._socket.handshake():
            self._sign_in()

    def _sign_in(self) -> None:
        self.state = LinkState.SIGNING_IN
        self.command("PING", answer=_ignore)  # the sign-in may take long: this is answered at once
        hello = ["HELLO", "2", "AUTH", self._upstream.user, self._upstream.password]
        self.command(*hello, "SETNAME", self._title, answer=self._signed_in)

    def _signed_in(self, value: Value) -> None:
        if isinstance(value, ErrorReply):
            self.close(f"sign-in as {self._upstream.user} refused: {value}", value.word)
            return
        self.state = LinkState.READY
        self._on_ready()

    def _send(self, data: bytes) -> None:
        self._unsent += data
        if len(self._unsent) > UNSENT_BYTES_MAX:
            self.close("the master takes no commands")
        elif self._socket is not None and not self._is_connecting:
            try:
                self._flush()
            except OSError as error:
                self.close(why_broken(error))

    def _flush(self) -> None:
        if self._socket is None or not self._unsent:
            return
        try:
            count = self._socket.send(self._unsent)
        except BlockingIOError:
            return
        self._said = True
        del self._unsent[:count]

    def _receive(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(RECEIVE_PACKED_BYTES if self._unpacker else RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not data:
            # What came before the end counts: it may be the reason.
            self._hand_on()
            self.close("closed by the master")
            return
        self._heard = self._has_heard = True
        self._streamed = self._streamed or data != PONG_BYTES
        self._decoder.feed(data)
        self._hand_on()

    def _hand_on(self) -> None:
        """Passes on what was received, value by value, also those that came packed in one."""
        # What the owner does with a value may end the link, pause it, or have it go on, which
        # comes here once more.
        while self._takes_values():
            packed = self._pieces is not None
            decoder = self._unpacked if packed else self._decoder
            awaited = bool(self._answers) and not packed
            lent = self.on_bytes is not None and not awaited and decoder.lend(self.on_bytes)
            value = MORE if lent else decoder.next()
            if value is MORE:
                if not self._unpack_piece():
                    return
            elif awaited and not isinstance(value, Push):
                self._answers.popleft()(value)
            elif not packed and self._unpacker is not None and _is_packed(value):
                self._pieces = self._unpacker.unpack(value[1])
            elif not (self._streams and value == PONG):
                self.on_value(value)

    def _unpack_piece(self) -> bool:
        """Unpacks some more of a packed frame; False where none is under way."""
        if self._pieces is None:
            return False
        piece = next(self._pieces, None)
        if piece is None:
            self._pieces = None
        else:
            self._unpacked.feed(piece)
        return True

    def _takes_values(self) -> bool:
        return self.state is not LinkState.BROKEN and not self.paused


def _ignore(_: Value) -> None:
    """That something came is all that counts."""


def _is_packed(value: Value) -> TypeGuard[list[bytes]]:
    return (
        isinstance(value, list)
        and len(value) == 2
        and value[0] == PACKED
        and isinstance(value[1], bytes)
    )
