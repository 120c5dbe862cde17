"""Serves the workers' questions: RESP frames in, RESP frames out, on Unix sockets.

1. An answer goes to the connection that asked; if that is gone, it is dropped.
2. A connection that sends what is not a question, or doesn't take its answers, is closed.
"""

from __future__ import annotations

import logging
import selectors
import socket
from collections.abc import Callable

from csp.auth.frames import FrameError, take_frames
from csp.resp import request

RECEIVE_BYTES = 64 * 1024
UNSENT_BYTES_MAX = 4 * 1024 * 1024  # a worker that takes no answers hangs

log = logging.getLogger("csp.auth")

Question = Callable[["Peer", list[bytes]], None]


class Peer:
    """One worker's connection."""

    def __init__(self, channel: Channel, connection: socket.socket) -> None:
        self._channel = channel
        self._connection = connection
        self._received = bytearray()
        self._unsent = bytearray()
        self._wants_write = False
        connection.setblocking(False)

    def fileno(self) -> int:
        return self._connection.fileno()

    def done(self, number: bytes, text: bytes) -> None:
        """Answers a question with its result."""
        self._send(request("DONE", number, text))

    def fail(self, number: bytes, text: str) -> None:
        """Answers a question with an error text."""
        self._send(request("FAIL", number, text))

    def on_events(self, events: int) -> None:
        """Called by the loop."""
        if events & selectors.EVENT_WRITE:
            self._flush()
        if events & selectors.EVENT_READ:
            self._receive()

    def close(self) -> None:
        """Forgets the connection."""
        if self._connection.fileno() >= 0:
            self._channel.forget(self)
            self._connection.close()

    def _receive(self) -> None:
        try:
            data = self._connection.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        try:
            for frame in take_frames(self._received):
                self._channel.ask(self, frame)
        except FrameError as error:
            log.error("a channel broke: %s", error)
            self.close()

    def _send(self, data: bytes) -> None:
        if self._connection.fileno() < 0:
            return
        self._unsent += data
        self._flush()

    def _flush(self) -> None:
        try:
            sent = self._connection.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._unsent[:sent]
        if len(self._unsent) > UNSENT_BYTES_MAX:
            log.error("a worker takes no answers: its channel is closed")
            self.close()
            return
        if bool(self._unsent) != self._wants_write:
            self._wants_write = bool(self._unsent)
            self._channel.want_write(self, self._wants_write)


class Channel:
    """The listening socket and its connections."""

    def __init__(
        self, selector: selectors.BaseSelector, listener: socket.socket, ask: Question
    ) -> None:
        self.ask = ask
        self._selector = selector
        self._listener = listener
        self._peers: set[Peer] = set()
        selector.register(listener, selectors.EVENT_READ, self._on_connection)

    def close(self) -> None:
        """Takes no more questions."""
        for peer in list(self._peers):
            peer.close()

    def forget(self, peer: Peer) -> None:
        """A connection is over."""
        self._selector.unregister(peer)
        self._peers.discard(peer)

    def want_write(self, peer: Peer, wanted: bool) -> None:
        """Whether the loop must say when the socket takes more."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        self._selector.modify(peer, events, peer.on_events)

    def _on_connection(self, events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        peer = Peer(self, connection)
        self._peers.add(peer)
        self._selector.register(peer, selectors.EVENT_READ, peer.on_events)
