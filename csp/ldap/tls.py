"""Speaks TLS with an LDAP server, on csp's own socket: the LDAP library waits without an end there.

1. The library sees one end of a pair of sockets; a thread passes on what it says and hears, through
   TLS, until either side ends.
2. A certificate is demanded and checked, its name too; there is no option to do without.
3. Nothing is sent before TLS stands but the request for it (StartTLS), and nothing that came before
   it is taken for an answer.
4. What is trusted, and who we are, is told as for all links that csp opens (csp/secure.py).
"""

from __future__ import annotations

import select
import selectors
import socket
import ssl
import threading
from contextlib import suppress
from typing import Final

from csp.external.backend import Unusable, left
from csp.external.servers import ServerAway
from csp.ldap.server import LdapServer
from csp.secure import CannotSecure, Tls, why_broken

RECEIVE_BYTES: Final = 65_536
ANSWER_BYTES_MAX: Final = 4_096  # to StartTLS
# ExtendedRequest 1 with the name of StartTLS (RFC 4511, 4.14).
START_TLS: Final = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
SEQUENCE, EXTENDED_RESPONSE, ENUMERATED, INTEGER = 0x30, 0x78, 0x0A, 0x02


def context_of(server: LdapServer) -> ssl.SSLContext:
    """What TLS with a server is begun with; raises Unusable."""
    tls = Tls(server.ca_file, server.certificate_file, server.key_file)
    try:
        context = tls.context()
        if not server.ca_file and not context.cert_store_stats()["x509_ca"]:
            raise CannotSecure("there are none: set cacert-path")
    except OSError as error:  # CannotSecure is one
        names = ", ".join(server.tls_files()) or "this machine's certificate authorities"
        raise Unusable(f"no TLS with {server.name} by {names}: {why_broken(error)}") from None
    return context


def connect_tls(server: LdapServer, context: ssl.SSLContext, deadline: float) -> socket.socket:
    """One end of a pair whose other end is the server, behind TLS; raises ServerAway."""
    host, port = server.search.host, server.search.port
    try:
        sock = socket.create_connection((host, port), timeout=left(deadline))
    except OSError as error:
        raise ServerAway(why_broken(error)) from None
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server.start_tls:
            _ask_for_tls(sock, deadline)
        sock.settimeout(left(deadline))
        outer = context.wrap_socket(sock, server_hostname=host)
    except OSError as error:
        sock.close()
        raise ServerAway(f"no TLS: {why_broken(error)}") from None
    ours, theirs = socket.socketpair()
    passing = outer, theirs, float(server.response_seconds)
    threading.Thread(target=_pass_on, args=passing, name="tls", daemon=True).start()
    return ours


def _ask_for_tls(sock: socket.socket, deadline: float) -> None:
    """StartTLS; raises OSError where the server does not agree."""
    sock.settimeout(left(deadline))
    sock.sendall(START_TLS)
    answer = b""
    while not _is_whole(answer):
        sock.settimeout(left(deadline))
        data = sock.recv(ANSWER_BYTES_MAX)
        answer += data
        if not data or len(answer) > ANSWER_BYTES_MAX:
            raise ConnectionError("the server ends at StartTLS")
    if not _is_agreed(answer):
        raise ConnectionError("the server refuses StartTLS")


def _is_whole(answer: bytes) -> bool:
    """Whether one message is there, and no byte more: what is sent before TLS is nobody's."""
    if len(answer) < 2:
        return False
    size = _length(answer, 1)
    if size is None:
        return False
    if len(answer) > size:
        raise ConnectionError("the server says more than an answer to StartTLS")
    return len(answer) == size


def _is_agreed(answer: bytes) -> bool:
    """Whether it is an ExtendedResponse to request 1 with the result `success`."""
    at = 2 if answer[1] < 0x80 else 2 + (answer[1] & 0x7F)
    if answer[0] != SEQUENCE or answer[at : at + 3] != bytes((INTEGER, 1, 1)):
        return False
    at += 3
    if answer[at] != EXTENDED_RESPONSE:
        return False
    at += 2 if answer[at + 1] < 0x80 else 2 + (answer[at + 1] & 0x7F)
    return answer[at : at + 3] == bytes((ENUMERATED, 1, 0))


def _length(data: bytes, at: int) -> int | None:
    """Where the element ends whose length stands at a place; None while it is not there."""
    first = data[at]
    if first < 0x80:
        return at + 1 + first
    count = first & 0x7F
    if not 0 < count <= 2:
        raise ConnectionError("the server's answer to StartTLS is none")
    if len(data) < at + 1 + count:
        return None
    return at + 1 + count + int.from_bytes(data[at + 1 : at + 1 + count], "big")


def _pass_on(outer: ssl.SSLSocket, inner: socket.socket, seconds: float) -> None:
    """Until either side ends; requests and answers take turns, so neither waits for the other."""
    outer.setblocking(False)
    with outer, inner, suppress(OSError), selectors.DefaultSelector() as selector:
        selector.register(outer, selectors.EVENT_READ)
        selector.register(inner, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if inner in ready:
                data = inner.recv(RECEIVE_BYTES)
                if not data:
                    return
                _send(outer, data, seconds)
            if outer in ready and not _hear(outer, inner):
                return


def _send(outer: ssl.SSLSocket, data: bytes, seconds: float) -> None:
    """All of it; raises TimeoutError where the server takes nothing for so long."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[outer.send(rest) :]
        except ssl.SSLWantWriteError:
            _wait(outer, select.POLLOUT, seconds)
        except ssl.SSLWantReadError:
            _wait(outer, select.POLLIN, seconds)


def _wait(sock: socket.socket, event: int, seconds: float) -> None:
    """Until a socket is ready; raises TimeoutError."""
    poll = select.poll()
    poll.register(sock, event)
    if not poll.poll(seconds * 1000):
        raise TimeoutError


def _hear(outer: ssl.SSLSocket, inner: socket.socket) -> bool:
    """Passes on what has come, if that is more than TLS's own; False at the server's end."""
    while True:
        try:
            data = outer.recv(RECEIVE_BYTES)
        except ssl.SSLWantReadError:
            return True
        if not data:
            return False
        inner.sendall(data)
