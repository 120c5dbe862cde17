"""One connection on a blocking socket, plain or by TLS: commands out, replies in, in order."""

# 1. Replies come in the order of the commands; pushes come between them and are kept apart.
# 2. Sending never waits for the server to be ready to receive without receiving meanwhile, so a
#    pipeline of any length cannot deadlock.
# 3. A connection on which anything was lost is closed, never used again.
# 4. While `is_waiting`, nothing is half received: a wait that is broken off there loses nothing.

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

from csp.client.address import Address
from csp.client.incoming import Incoming, Value
from csp.client.problems import CannotConnect, ConnectionLost
from csp.client.steps import TIMEOUT_SECONDS
from csp.secure import SecureSocket, Tls, Wire, why_broken

Taken = TypeVar("Taken")
RECEIVE_BYTES = 1 << 18  # one receive takes a quarter of the server's unsent-reply limit
SEND_BYTES = 1 << 18
CONNECT_SECONDS_MAX = 5.0
# A peer that is gone without a word is noticed by the kernel too: 30 s and three probes 10 s apart.
KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


class Connection:
    """A connection as it was opened: RESP2, not signed in."""

    def __init__(
        self,
        address: Address,
        tls: Tls | None = None,
        bind: Callable[[socket.socket], None] | None = None,
    ) -> None:
        """`bind` says from where the socket goes out, before it connects."""
        self.address = address
        self._incoming = Incoming(address)
        self._unsent = bytearray()
        try:
            self._socket = _connected(address, tls, bind)
        except OSError as problem:
            raise cannot_connect(address, problem) from problem
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._waits_to_send = False
        self.is_waiting = False

    def close(self) -> None:
        """Closes the socket; harmless a second time."""
        if self._socket.fileno() >= 0:
            self._selector.close()
            self._socket.close()

    def end(self) -> None:
        """Ends it from another thread: who waits on it is told at once that it is closed."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if not self.is_waiting:
            self.close()

    @property
    def is_closed(self) -> bool:
        return self._socket.fileno() < 0

    # ------------------------------------------------------------------ commands

    def send(self, data: bytes) -> None:
        """Sends what the socket takes now; the rest follows while replies are awaited."""
        if not self._unsent:
            data = data[self._send(data) :]
        self._unsent += data
        if len(self._unsent) >= SEND_BYTES:
            self._turn(0.0)

    def exchange(self, data: bytes, replies: int, seconds: float | None) -> list[Value]:
        """Sends, and returns so many replies; see `reply`."""
        self.send(data)
        return [self.reply(seconds) for _ in range(replies)]

    def reply(self, seconds: float | None = TIMEOUT_SECONDS) -> Value:
        """The next reply; an error is returned. ConnectionLost if nothing moves for so long."""
        while True:
            found, value = self._closing_on_loss(self._incoming.next)
            if found:
                return value
            if not self._turn(seconds):
                self.close()
                raise ConnectionLost(f"{self.address} gave no reply for {seconds:g} s")

    def next_push(self, seconds: float | None) -> list[Value] | None:
        """The next push, or None after so many seconds; an error reply is raised."""
        while (push := self._closing_on_loss(self._incoming.next_push)) is None:
            if not self._turn(seconds):
                return None
        return push

    def listen(self, seconds: float | None = None) -> Iterator[list[Value]]:
        """Pushes as they come; ends after so many seconds without one."""
        while (push := self.next_push(seconds)) is not None:
            yield push

    # ------------------------------------------------------------------ bytes

    def _closing_on_loss(self, take: Callable[[], Taken]) -> Taken:
        try:
            return take()
        except ConnectionLost:
            self.close()
            raise

    def _send(self, data: bytes) -> int:
        """Sends as much as the socket takes at once; how much."""
        self._refuse_closed()
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as problem:
            raise self._broken(problem) from problem

    def _turn(self, seconds: float | None) -> bool:
        """Sends and receives once; waits at most so long. Whether anything moved."""
        self._refuse_closed()
        waits_to_send = bool(self._unsent)
        if waits_to_send != self._waits_to_send:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits_to_send else 0)
            self._selector.modify(self._socket, events)
            self._waits_to_send = waits_to_send
        self.is_waiting = True
        ready = self._selector.select(seconds)
        self.is_waiting = False
        try:
            for _, events in ready:
                if events & selectors.EVENT_READ:
                    self._incoming.feed(self._socket.recv(RECEIVE_BYTES))
                if events & selectors.EVENT_WRITE:
                    with memoryview(self._unsent) as view:
                        sent = self._socket.send(view)
                    del self._unsent[:sent]
        except BlockingIOError:
            return True  # said to be ready, taken back: the next turn sees it
        except ConnectionLost:
            self.close()
            raise
        except OSError as problem:
            raise self._broken(problem) from problem
        return bool(ready)

    def _refuse_closed(self) -> None:
        if self.is_closed:
            raise ConnectionLost(f"the connection to {self.address} is closed")

    def _broken(self, problem: OSError) -> ConnectionLost:
        self.close()
        return ConnectionLost(f"the connection to {self.address} broke: {why_broken(problem)}")


def _connected(
    address: Address, tls: Tls | None, bind: Callable[[socket.socket], None] | None
) -> Wire:
    """A socket that does not block, with TLS over it where that is asked for."""
    wire: socket.socket | SecureSocket
    if bind is None:
        wire = plain = socket.create_connection(address, timeout=CONNECT_SECONDS_MAX)
    else:
        wire = plain = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    try:
        if bind is not None:
            bind(plain)
            plain.settimeout(CONNECT_SECONDS_MAX)
            plain.connect(address)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(plain)
        if tls is not None:
            wire = SecureSocket(plain, tls, address.host)
            wire.handshake()
        wire.setblocking(False)
    except OSError:
        wire.close()
        raise
    return wire


def try_connect(address: Address) -> None:
    """Whether somebody listens there: CannotConnect if not."""
    try:
        socket.create_connection(address, timeout=CONNECT_SECONDS_MAX).close()
    except OSError as problem:
        raise cannot_connect(address, problem) from problem


def cannot_connect(address: Address, problem: OSError) -> CannotConnect:
    """What is raised where there is no connection: why, in words."""
    return CannotConnect(f"no connection to {address}: {why_broken(problem)}")


def keep_alive(connected: socket.socket) -> None:
    """Has the kernel ask a silent peer for a sign of life."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
