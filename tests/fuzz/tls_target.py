"""The target `tls`: any bytes for a port that takes TLS and plain text, around a real handshake.

1. The first byte chooses where the bytes stand: instead of a hello, within one, as plaintext in
   records of some size, or within the ciphertext behind a handshake.
2. Plaintext is answered as it is without TLS, byte for byte.
3. The client is Python's own TLS, in memory; it verifies nothing.
"""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
from pathlib import Path
from types import SimpleNamespace

from csp._fastpath import Loop, TlsContext
from tests.fuzz.conversing import Lane, Store, check_left, converse, worker_of
from tests.fuzz.targets import QUESTIONS
from tests.neighbours.certificates import self_signed

AUTO = 2  # of csp.process.ports.Security, which this build has not
PORT = SimpleNamespace(
    number=0,
    security=SimpleNamespace(value=AUTO),
    purpose=SimpleNamespace(value=0),
    proxy_from=(),
    listed=(),
)
BYTES_MAX = 30000
INSTEAD, WITHIN_HELLO, PLAINTEXT, WITHIN_RECORDS = range(4)

_made: list[tuple[TlsContext, Store]] = []


class Port(Lane):
    """The lane of a port with a certificate."""

    def certified(self, conn: int) -> None:
        self.loop.admit(conn)

    def handshakes_failed(self, count: int, address: str, port: int, reason: str) -> None:
        assert count > 0
        assert reason


class Client:
    """One client in the loop's own thread."""

    def __init__(self, loop: Loop, client: socket.socket, way: int, at: int, body: bytes) -> None:
        self.loop, self.client = loop, client
        self.way, self.at, self.body = way, at, body
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.shaken = False
        self.replies = bytearray()

    def start(self) -> None:
        if self.way == INSTEAD:
            self._last(b"\x16" + self.body)
            return
        self._shake()
        hello = self.outgoing.read()
        if self.way == WITHIN_HELLO:
            at = self.at % len(hello)
            self._last(hello[:at] + self.body + hello[at + len(self.body) % 3 :])
        else:
            self.client.send(hello)

    def read(self) -> None:
        """Something has come."""
        try:
            got = self.client.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionResetError:
            got = b""
        if not got:
            self.loop.remove_fd(self.client.fileno())
            self.loop.stop()
            return
        self.incoming.write(got)
        try:
            if not self.shaken and self.way in (PLAINTEXT, WITHIN_RECORDS):
                self._shake()
                if self.shaken:
                    self._ask()
                else:
                    self.client.send(self.outgoing.read())
            if self.shaken:
                self._take()
        except ssl.SSLError:
            assert self.way != PLAINTEXT

    def _shake(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.shaken = True

    def _take(self) -> None:
        try:
            while some := self.tls.read(1 << 16):
                self.replies += some
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            return

    def _ask(self) -> None:
        if self.way == PLAINTEXT:
            step = 1 + self.at % 256
            for at in range(0, len(self.body), step):
                self.tls.write(self.body[at : at + step])
            self._last(self.outgoing.read())
            return
        finished = self.outgoing.read()
        self.tls.write(QUESTIONS)
        data = self.outgoing.read()
        at = self.at % len(data)
        self._last(finished + data[:at] + self.body + data[at + len(self.body) % 7 :])

    def _last(self, data: bytes) -> None:
        """Sends it, and ends this side."""
        assert self.client.send(data) == len(data)
        self.client.shutdown(socket.SHUT_WR)


def tls(data: bytes) -> None:
    """Where, at which byte (two), and the bytes."""
    if len(data) < 3:
        return
    way, at, body = data[0] % 4, int.from_bytes(data[1:3], "little"), data[3:BYTES_MAX]
    if way == PLAINTEXT:
        body = body[: 40 * (1 + at % 256)]  # each record costs
    context, store = _ready()
    replies = _talk(context, store, way, at, body)
    if way == PLAINTEXT and body:
        plain = converse(store, body)
        assert bytes(replies) == plain, (bytes(replies), plain)


def _ready() -> tuple[TlsContext, Store]:
    if not _made:
        os.environ.pop("LD_PRELOAD", None)  # the sanitizer's, which is not for other programs
        with tempfile.TemporaryDirectory() as folder:
            context = TlsContext(self_signed(Path(folder)).bundle())
        store = Store()
        store.people()
        store.publish()
        _made.append((context, store))
    return _made[0]


def _talk(context: TlsContext, store: Store, way: int, at: int, body: bytes) -> bytearray:
    listener, loop = worker_of(store, Port(), PORT)
    loop.set_token_key(1, b"s" * 16, b"k" * 32)
    loop.set_tls(0, context)
    with listener, socket.create_connection(listener.getsockname()) as client:
        client.setblocking(False)
        talk = Client(loop, client, way, at, body)
        loop.add_fd(client.fileno(), talk.read)
        talk.start()
        loop.run()
    check_left(loop)
    assert store.control.slot_counters(0)["tls_connections"] == 0
    return talk.replies
