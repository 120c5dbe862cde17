"""Runs a loop with TLS ports in a child process, and clients of Python's own TLS before it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from csp._fastpath import Loop, TlsContext
from csp.process.ports import Network, Port, Security
from csp.resp.encode import encode
from tests.neighbours.certificates import Certificate
from tests.server.hot_stage import HotServer, OpenLane, Raw

TOKEN_KEY = b"k" * 32
TOKEN_STREAM = b"s" * 16


class TlsLane(OpenLane):
    """Says what the loop knows of a client's TLS, and takes another of the test's bundles."""

    bundles: Sequence[Mapping[str, Any] | None] = ()
    holds = False  # clients that were asked for a certificate wait for ADMIT, of somebody else

    def __init__(self) -> None:
        super().__init__()
        self.held: list[int] = []

    def command(self, conn: int, args: list[bytes]) -> bytes | None:
        session, verb = self.loop.session(conn), args[0].lower()
        if verb == b"certificate":
            return encode(repr(session.certificate).encode(), session.proto)
        if verb == b"secured":
            return encode(session.secured.encode(), session.proto)
        if verb == b"failed":
            return encode([why.encode() for why in self.failed], session.proto)
        if verb == b"take":
            bundle = self.bundles[int(args[1])]
            self.loop.set_tls(0, None if bundle is None else TlsContext(bundle))
            return b"+OK\r\n"
        if verb == b"await":
            self.loop.await_tls(0, args[1] == b"1")
            return b"+OK\r\n"
        if verb == b"key":
            self.loop.set_token_key(int(args[1]), TOKEN_STREAM, args[1] * 32)
            return b"+OK\r\n"
        if verb == b"end":
            for client in self.loop.clients():
                if client["subscriptions"] > 0:
                    self.loop.close(client["conn"])
            return b"+OK\r\n"
        if verb == b"held":
            return b":%d\r\n" % len(self.held)
        if verb == b"admit":
            for one in self.held:
                self.loop.admit(one)
            self.held.clear()
            return b"+OK\r\n"
        return super().command(conn, args)

    def certified(self, conn: int) -> None:
        if self.holds:
            self.held.append(conn)
        else:
            super().certified(conn)


class TlsServer(HotServer):
    """One port, secured as told; `bundle` is its certificate's, None: it has none.

    `others` are bundles that TAKE 1, TAKE 2 … puts in its place.
    """

    lane_class = TlsLane

    def __init__(
        self,
        objects: Sequence[tuple[str, dict[str, Any]]],
        bundle: Mapping[str, Any] | None,
        *,
        security: Security = Security.SECURED,
        tickets: bool = True,
        others: Sequence[Mapping[str, Any] | None] = (),
        holds: bool = False,
        proxy_from: Sequence[Network] = (),
        **words: Any,
    ) -> None:
        self.bundle, self.tickets = bundle, tickets
        self.others, self.holds = others, holds
        super().__init__(
            objects, ports=[Port(0, security=security, proxy_from=tuple(proxy_from))], **words
        )

    def prepare(self, loop: Loop) -> None:
        assert isinstance(self.lane, TlsLane)
        self.lane.bundles = [self.bundle, *self.others]
        self.lane.holds = self.holds
        if self.tickets:
            loop.set_token_key(1, TOKEN_STREAM, TOKEN_KEY)
        if self.bundle is not None:
            loop.set_tls(0, TlsContext(self.bundle))


class SecureRaw(Raw):
    """A client that sends bytes over TLS and decodes replies."""

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext,
        *,
        receive_bytes: int = 0,
        name: str = "localhost",
        session: ssl.SSLSession | None = None,
    ) -> None:
        super().__init__(port, receive_bytes)
        self.plain_socket: socket.socket = self.socket
        self.socket = context.wrap_socket(
            self.socket, server_hostname=name, session=session, suppress_ragged_eofs=False
        )

    @property
    def secure(self) -> ssl.SSLSocket:
        assert isinstance(self.socket, ssl.SSLSocket)
        return self.socket


def showing(root: Path, leaf: Certificate | None, **words: Any) -> ssl.SSLContext:
    """The same, of a client that shows a certificate."""
    context = trusting(root, **words)
    if leaf is not None:
        context.load_cert_chain(leaf.certificate, leaf.key)
    return context


def trusting(root: Path, **words: Any) -> ssl.SSLContext:
    """A client's context that trusts this authority; `words` are attributes of it."""
    context = ssl.create_default_context(cafile=str(root))
    for name, value in words.items():
        setattr(context, name, value)
    return context


class WireClient:
    """A client whose ciphertext passes through the test's hands: cut, held back, spoilt.

    Nothing is sent or received but by `push` and `pull`.
    """

    def __init__(self, port: int, context: ssl.SSLContext, *, receive_bytes: int = 0) -> None:
        self.socket = Raw(port, receive_bytes).socket
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def shake(self) -> None:
        """The whole handshake."""
        while not self.step():
            self.push()
            self.pull()
        self.push()

    def step(self) -> bool:
        """One step of the handshake with what has come; whether it is done on this side."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypt(self, data: bytes) -> bytes:
        """The ciphertext, with what else was to be sent."""
        self.tls.write(data)
        return self.outgoing.read()

    def push(self) -> None:
        """Sends what is to be sent."""
        self.socket.sendall(self.outgoing.read())

    def pull(self) -> int:
        """Waits for some ciphertext; how much came, 0: the server has ended."""
        data = self.socket.recv(1 << 16)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return len(data)

    def read(self, size: int) -> bytes:
        """So much plaintext, waiting for it; less only where the server has ended."""
        found = b""
        while len(found) < size:
            try:
                some = self.tls.read(size - len(found))
            except ssl.SSLWantReadError:
                self.pull()
                continue
            except ssl.SSLZeroReturnError:
                break
            if not some:
                break
            found += some
        return found
