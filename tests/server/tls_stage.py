"""Runs a loop with TLS ports in a child process, and clients of Python's own TLS before it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from csp._fastpath import Loop, TlsContext
from csp.process.ports import Port, Security
from tests.server.hot_stage import HotServer, Raw

TOKEN_KEY = b"k" * 32
TOKEN_STREAM = b"s" * 16


class TlsServer(HotServer):
    """One port, secured as told; `bundle` is its certificate's, None: it has none."""

    def __init__(
        self,
        objects: Sequence[tuple[str, dict[str, Any]]],
        bundle: Mapping[str, Any] | None,
        *,
        security: Security = Security.SECURED,
        tickets: bool = True,
        **words: Any,
    ) -> None:
        self.bundle, self.security, self.tickets = bundle, security, tickets
        super().__init__(objects, **words)

    def loop_words(self) -> dict[str, Any]:
        return {"listen_ports": (0,), "ports": (Port(0, security=self.security),)}

    def prepare(self, loop: Loop) -> None:
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
