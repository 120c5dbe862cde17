"""Answers other processes of the same server: takes their questions from Unix sockets.

1. A question is an array of strings, its verb and its number first; a peer that sends anything
   else, or more than the limits allow, is cut off and its end logged.
2. A peer is greeted when it is taken in: before that it sends nothing, so what it holds back is
   known not to have been done.
3. An answer goes to whoever asked; if that is gone, it goes nowhere.
4. A peer that does not take its answers is cut off: it hangs, or will be told that they broke.
"""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Callable

from csp.observe.events import log_event
from csp.process.channel.framing import ANSWERED, GREETING, REFUSED, Limits
from csp.process.polling import READ, WRITE, Descriptor
from csp.resp import Decoder, ProtocolError, request

RECEIVE_BYTES = 256 * 1024
ACCEPTS_MAX = 64  # in one turn: a server has as many workers at most

Message = list[bytes]  # verb, number, arguments…


class Peer:
    """One process that asks."""

    def __init__(
        self,
        sock: socket.socket,
        number: int,
        limits: Limits,
        on_ready: Callable[[Peer], None],
        received: bytearray,
    ) -> None:
        self.number = number
        self.is_paused = False  # its next questions wait in the socket
        self._socket: socket.socket | None = sock
        self._limits = limits
        self._received = received
        self._unsent = bytearray(request(GREETING, 0))
        self._decoder = Decoder(bulk_size_max=limits.question_bytes)
        # Made once: a loop that is given the same objects again has nothing to do for them.
        ready = functools.partial(on_ready, self)
        self._descriptors = {
            events: Descriptor(sock.fileno(), events, ready)
            for events in (READ, WRITE, READ | WRITE)
        }

    @property
    def is_there(self) -> bool:
        """Whether an answer could still reach it."""
        return self._socket is not None

    @property
    def has_unsent(self) -> bool:
        """Whether answers wait for the socket to take them."""
        return bool(self._unsent)

    def done(self, number: bytes, *parts: bytes | str | int) -> None:
        """Answers a question with its result; `flush` sends it."""
        self._answer(ANSWERED, number, *parts)

    def fail(self, number: bytes, line: str) -> None:
        """Answers a question with an error, word first; `flush` sends it."""
        self._answer(REFUSED, number, line)

    def _answer(self, *words: bytes | str | int) -> None:
        if self._socket is not None:
            self._unsent += request(*words)

    def receive(self) -> tuple[list[Message], bool]:
        """The questions that came, and whether the peer is still there; raises ProtocolError."""
        if self._socket is None:
            return [], False
        try:
            count = self._socket.recv_into(self._received)
        except BlockingIOError:
            return [], True
        except OSError:
            return [], False
        with memoryview(self._received) as view:
            self._decoder.feed(view[:count])
        return self._messages(), count > 0

    def flush(self) -> bool:
        """Sends what the socket takes; False where the peer is gone or takes nothing."""
        if self._socket is None or not self._unsent:
            return self._socket is not None
        try:
            count = self._socket.send(self._unsent)
        except BlockingIOError:
            count = 0
        except OSError:
            return False
        del self._unsent[:count]
        if len(self._unsent) > self._limits.unsent_answers_bytes:
            raise ProtocolError(f"{len(self._unsent)} bytes of answers are not taken")
        return True

    def descriptor(self, *, is_read: bool) -> Descriptor | None:
        """What the loop is to watch for it now."""
        events = READ if is_read and not self.is_paused else 0
        events |= WRITE if self._unsent else 0
        return self._descriptors[events] if events and self._socket is not None else None

    def close(self) -> None:
        """Ends the connection; answers that are still to come go nowhere."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._unsent.clear()

    def _messages(self) -> list[Message]:
        found: list[Message] = []
        for value in self._decoder:
            if not isinstance(value, list) or len(value) < 2:
                raise ProtocolError(f"a message that is not an array of strings: {value!r:.80}")
            words = [word for word in value if isinstance(word, bytes)]
            if len(words) != len(value):
                raise ProtocolError("a message with something else than strings")
            found.append(words)
        return found


class Answerer:
    """The Unix socket that others connect to, whose name the supervisor owns, and those who did."""

    def __init__(
        self,
        fd: int,
        limits: Limits,
        *,
        ask: Callable[[Peer, Message], None],
        joined: Callable[[Peer], None] = lambda _: None,
        left: Callable[[Peer], None] = lambda _: None,
        log: logging.Logger,
    ) -> None:
        self.peers: list[Peer] = []
        self._listener = socket.socket(fileno=fd)
        self._listener.setblocking(False)
        self._limits = limits
        self._ask = ask
        self._joined = joined
        self._left = left
        self._log = log
        self._count = 0
        self._is_draining = False
        self._received = bytearray(RECEIVE_BYTES)  # of all peers: nothing is kept in it
        self._accepting = Descriptor(self._listener.fileno(), READ, self._accept)

    @property
    def has_unsent(self) -> bool:
        """Whether somebody has not taken all answers."""
        return any(peer.has_unsent for peer in self.peers)

    def drain(self) -> None:
        """Takes in nobody and no question any more."""
        self._is_draining = True

    def descriptors(self) -> list[Descriptor]:
        """What the loop is to watch now."""
        found = []
        if not self._is_draining:
            found.append(self._accepting)
        for peer in self.peers:
            one = peer.descriptor(is_read=not self._is_draining)
            if one is not None:
                found.append(one)
        return found

    def flush(self) -> None:
        """Sends all answers; called once a turn."""
        for peer in list(self.peers):
            if peer.has_unsent:
                self._flush(peer)

    def close(self) -> None:
        """Lets everybody go, but not the socket: the supervisor's other children share it."""
        for peer in list(self.peers):
            self._drop(peer)
        self._listener.detach()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                accepted, _ = self._listener.accept()
            except BlockingIOError:
                return
            accepted.setblocking(False)
            self._count += 1
            peer = Peer(accepted, self._count, self._limits, self._receive, self._received)
            self.peers.append(peer)
            self._joined(peer)

    def _receive(self, peer: Peer) -> None:
        try:
            messages, is_there = peer.receive()
        except ProtocolError as error:
            log_event(self._log, "51312", reason=str(error))
            messages, is_there = [], False
        for message in messages:
            self._ask(peer, message)
        if not is_there:
            self._drop(peer)

    def _flush(self, peer: Peer) -> None:
        try:
            is_there = peer.flush()
        except ProtocolError as error:
            log_event(self._log, "51312", reason=str(error))
            is_there = False
        if not is_there:
            self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        if peer in self.peers:
            self.peers.remove(peer)
            peer.close()
            self._left(peer)
