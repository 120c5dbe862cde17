"""TLS towards a server: what is trusted, who we are, and a socket over it that need not block.

1. A server is spoken to only when its certificate comes from a trusted authority and names it;
   nothing switches the first off.
2. Files are read when a connection is made: who renews one needs no restart.
3. A problem is told in words that name the file or the server, and never what a file holds.
4. Below TLS 1.2 nothing is spoken, and nothing is negotiated anew on a connection.
"""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn, Protocol

RECORD_BYTES: Final = 16_384  # what one record holds at most
CONTEXTS_MAX: Final = 32  # that are kept made, by what their files were
VERSIONS: Final = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}

# What OpenSSL calls it, and what it means for who connects.
WORDS: Final = {
    "WRONG_VERSION_NUMBER": "what answers there does not speak TLS",
    "RECORD_LAYER_FAILURE": "what answers there does not speak TLS",
    "HTTP_REQUEST": "what answers there does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS version that is allowed here",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no TLS version that is allowed here",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate, and none was given",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refuses our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it refuses our certificate: it has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it refuses our certificate: it was revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it refuses our certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "it refuses our certificate: it trusts another authority",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it agrees to nothing that is offered: certificate or cipher",
}


ENDED: Final = "it ended the connection within the TLS handshake"


class CannotSecure(OSError):
    """A file can't be used, or nothing was agreed on; the text says why."""


class Wire(Protocol):
    """What is asked of a connected socket, with TLS or without."""

    def send(self, data: bytes | bytearray | memoryview, /) -> int: ...

    def recv(self, most: int, /) -> bytes: ...

    def fileno(self) -> int: ...

    def shutdown(self, how: int, /) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server is known, and how we are known to it; the fields are paths and words.

    ca: PEM file or folder of the authorities that are trusted; empty: those of the system.
    certificate, key: PEM files that say who we are, the chain leaf first; the key may be in it.
    crl: PEM file of what was revoked.
    name: what the server's certificate has to name; empty: the host that is connected to.
    check_name false: any certificate of a trusted authority will do.
    protocols: "tlsv1.2,tlsv1.3" or one of them. ciphers: OpenSSL's list for TLS 1.2.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    name: str = ""
    check_name: bool = True
    crl: str = ""
    protocols: str = ""
    ciphers: str = ""

    def __post_init__(self) -> None:
        if self.key and not self.certificate:
            raise ValueError("a key without its certificate: name both")
        for word in filter(None, self.protocols.split(",")):
            if word not in VERSIONS:
                raise ValueError(f"{word!r} is no protocol: {', '.join(VERSIONS)}")

    def context(self) -> ssl.SSLContext:
        """What connections are made with, of the files as they are now. Raises CannotSecure."""
        files = (self.ca, self.certificate, self.key, self.crl)
        return _context(self, tuple(_stamp(path) for path in files if path))

    def name_of(self, host: str) -> str:
        """What the certificate of a server at this host has to name."""
        return self.name or host


class SecureSocket:
    """A connected socket with TLS over it; blocks, has a limit or does neither, as the socket."""

    def __init__(self, connected: socket.socket, tls: Tls, host: str) -> None:
        """Takes the socket over; the handshake is still to come. Raises CannotSecure."""
        context = tls.context()
        self._socket = context.wrap_socket(
            connected, server_hostname=tls.name_of(host), do_handshake_on_connect=False
        )
        self._problem: OSError | None = None
        self.wants_write = False  # what is under way waits until the socket can be written

    def handshake(self) -> bool:
        """Goes on with it; whether it is done. Raises OSError: see `why_broken`."""
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self.wants_write = False
            return False
        except ssl.SSLWantWriteError:
            self.wants_write = True
            return False
        except ConnectionError:  # as a port that takes plain text alone does
            raise CannotSecure(ENDED) from None
        self.wants_write = False
        return True

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        """As a socket's; what was not taken has to come again, with more behind it or not."""
        try:
            return self._socket.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            raise BlockingIOError from None

    def recv(self, most: int, /) -> bytes:
        """As a socket's, up to a record more; nothing that is here is left behind unseen."""
        pieces: list[bytes] = []
        taken = 0
        while self._problem is None and (taken < most or self._socket.pending()):
            try:
                data = self._socket.recv(RECORD_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as problem:
                self._problem = problem  # told after what came before it
                break
            if not data:
                return b"".join(pieces)  # the end is seen again by who asks again
            pieces.append(data)
            taken += len(data)
        if pieces:
            return b"".join(pieces)
        raise self._problem or BlockingIOError

    def setblocking(self, flag: bool, /) -> None:
        """As a socket's."""
        self._socket.setblocking(flag)

    def fileno(self) -> int:
        """The socket's; -1 once it is closed."""
        return self._socket.fileno()

    def shutdown(self, how: int, /) -> None:
        """Ends the connection below the TLS: who waits on it is told."""
        socket.socket.shutdown(self._socket, how)

    def close(self) -> None:
        """Says good-bye if that takes no waiting, and closes."""
        with suppress(OSError, ValueError):
            self._socket.setblocking(False)
            self._socket.unwrap()
        self._socket.close()


def why_broken(problem: OSError) -> str:
    """What went wrong with a connection, in words."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {problem.verify_message.rstrip('.')}"
    if isinstance(problem, ssl.SSLEOFError):
        return ENDED
    if isinstance(problem, ssl.SSLError) and problem.reason:
        return WORDS.get(problem.reason, f"TLS: {problem.reason.lower().replace('_', ' ')}")
    if isinstance(problem, TimeoutError):
        return "no answer in time"
    return problem.strerror or str(problem) or ENDED  # asyncio gives no reason for that alone


def _stamp(path: str) -> tuple[str, int, int, int]:
    """What changes when a file, or what lies in a folder, is another."""
    try:
        state = os.stat(path)
    except OSError as problem:
        raise CannotSecure(f"{path} can't be read: {problem.strerror}") from None
    return path, state.st_ino, state.st_size, state.st_mtime_ns


@lru_cache(CONTEXTS_MAX)
def _context(tls: Tls, stamps: tuple[tuple[str, int, int, int], ...]) -> ssl.SSLContext:
    """Of the files as they were with these stamps: a file that is put in place anew is another."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    asked = [VERSIONS[word] for word in tls.protocols.split(",") if word] or list(VERSIONS.values())
    context.minimum_version, context.maximum_version = min(asked), max(asked)
    context.check_hostname = tls.check_name
    if tls.ciphers:
        try:
            context.set_ciphers(tls.ciphers)
        except ssl.SSLError:
            raise CannotSecure(f"OpenSSL knows no cipher in {tls.ciphers!r}") from None
    _trust(context, tls)
    if tls.certificate:
        _identify(context, tls)
    return context


def _trust(context: ssl.SSLContext, tls: Tls) -> None:
    if not tls.ca:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    elif os.path.isdir(tls.ca):
        context.load_verify_locations(capath=tls.ca)
    else:
        _load(context, tls.ca, "certificate of an authority")
    if tls.crl:
        _load(context, tls.crl, "list of what was revoked")
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _load(context: ssl.SSLContext, path: str, what: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise CannotSecure(f"{path} holds no {what} in PEM form") from None
    except OSError as problem:
        raise CannotSecure(f"{path} can't be read: {problem.strerror}") from None


def _identify(context: ssl.SSLContext, tls: Tls) -> None:
    key = tls.key or tls.certificate

    def no_password() -> NoReturn:
        raise CannotSecure(
            f"{key} opens only with a password: keep a key here that is not encrypted"
        )

    try:
        context.load_cert_chain(tls.certificate, tls.key or None, no_password)
    except CannotSecure:
        raise
    except ssl.SSLError as problem:
        if problem.reason == "KEY_VALUES_MISMATCH":
            raise CannotSecure(f"{key} is not the key of {tls.certificate}") from None
        raise CannotSecure(
            f"{tls.certificate} and {key} hold no certificate and key in PEM form"
        ) from None
    except OSError as problem:
        raise CannotSecure(f"{key} or {tls.certificate}: {problem.strerror}") from None
