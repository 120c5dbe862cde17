"""TLS with an LDAP server, against servers that do it wrong."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from csp.external.backend import Unusable
from csp.external.servers import ServerAway
from csp.ldap.server import LdapServer, read_server
from csp.ldap.tls import START_TLS, connect_tls, context_of
from csp.tables.options import OPTIONS
from tests.neighbours.certificates import Authority, Certificate, encrypted_key

DEFAULTS = {name: one.default for (of, name), one in OPTIONS.items() if of == "gauth_ldap"}
AGREED = bytes.fromhex("300c02010178070a010004000400")
SECONDS = 2.0


@pytest.fixture(scope="module")
def good(authority: Authority) -> Certificate:
    return authority.issue()


@contextlib.contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server for one connection; its port."""

    def run() -> None:
        with contextlib.suppress(OSError):
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(10)
                serve(accepted)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
    thread.join(10)


def server(port: int, ca: Path | str = "", *, start: bool = False, **more: object) -> LdapServer:
    scheme = "ldap" if start else "ldaps"
    stated = {
        "ldap-url": f"{scheme}://127.0.0.1:{port}/dc=x??sub?(uid=X)",
        "cacert-path": str(ca),
        "start-tls": start,
    }
    return read_server(DEFAULTS | stated | more)


def connect(to: LdapServer) -> socket.socket:
    return connect_tls(to, context_of(to), time.monotonic() + SECONDS)


def in_tls(certificate: Certificate, sock: socket.socket) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context.wrap_socket(sock, server_side=True)


def echo(certificate: Certificate) -> Callable[[socket.socket], None]:
    def serve(sock: socket.socket) -> None:
        with in_tls(certificate, sock) as tls:
            while data := tls.recv(65536):
                tls.sendall(data)

    return serve


def test_what_one_side_says_the_other_hears(authority: Authority, good: Certificate) -> None:
    with serving(echo(good)) as port, connect(server(port, authority.root)) as ours:
        ours.settimeout(10)
        for _ in range(3):
            sent = bytes(range(256)) * 100
            ours.sendall(sent)
            assert read(ours, len(sent)) == sent


def test_an_answer_may_be_long(authority: Authority, good: Certificate) -> None:
    sent = bytes(range(256)) * 10_000

    def serve(sock: socket.socket) -> None:
        with in_tls(good, sock) as tls:
            tls.recv(10)
            tls.sendall(sent)

    with serving(serve) as port, connect(server(port, authority.root)) as ours:
        ours.settimeout(10)
        ours.sendall(b"more")
        assert read(ours, len(sent)) == sent
        assert ours.recv(10) == b"", "the server's end"


def read(sock: socket.socket, size: int) -> bytes:
    heard = b""
    while len(heard) < size:
        data = sock.recv(65536)
        assert data
        heard += data
    return heard


def test_start_tls_asks_before_it_begins(authority: Authority, good: Certificate) -> None:
    asked: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        asked.append(sock.recv(1000))
        for byte in AGREED:  # in pieces
            sock.sendall(bytes((byte,)))
        echo(good)(sock)

    with serving(serve) as port, connect(server(port, authority.root, start=True)) as ours:
        ours.settimeout(10)
        ours.sendall(b"hello")
        assert ours.recv(10) == b"hello"
    assert asked == [START_TLS]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (bytes.fromhex("300c02010178070a010204000400"), "refuses StartTLS"),  # protocolError
        (bytes.fromhex("300c02010278070a010004000400"), "refuses StartTLS"),  # another request's
        (bytes.fromhex("300c02010161070a010004000400"), "refuses StartTLS"),  # a bind's
        (AGREED + bytes.fromhex("300c02010161070a010004000400"), "more than an answer"),
        (b"\x30\x84\x7f\xff\xff\xff", "is none"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no TLS"),
        (b"", "ends at StartTLS"),
    ],
)
def test_an_answer_to_start_tls_that_is_none_is_refused(
    authority: Authority, answer: bytes, words: str
) -> None:
    """Among them what somebody between puts behind it: it must not count as said in TLS."""

    def serve(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(answer)

    with serving(serve) as port, pytest.raises(ServerAway, match=words):
        connect(server(port, authority.root, start=True))


@pytest.mark.parametrize("start", [False, True])
def test_silence_ends_with_the_deadline(authority: Authority, start: bool) -> None:
    def listen(sock: socket.socket) -> None:
        while sock.recv(1000):
            pass

    began = time.monotonic()
    with serving(listen) as port, pytest.raises(ServerAway, match="no answer in time"):
        connect(server(port, authority.root, start=start))
    assert time.monotonic() - began < 3 * SECONDS


@pytest.mark.parametrize(
    ("kind", "words"),
    [("expired", "expired"), ("not_yet", "not yet valid"), ("other_name", "IP address mismatch")],
)
def test_t58_a_certificate_that_is_not_good_is_refused(
    authority: Authority, kind: str, words: str
) -> None:
    bad: Certificate = getattr(authority, kind)()
    with serving(echo(bad)) as port, pytest.raises(ServerAway, match=words):
        connect(server(port, authority.root))


def test_t58_another_authoritys_is_refused(good: Certificate, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    with serving(echo(good)) as port, pytest.raises(ServerAway, match=r"self-signed|local issuer"):
        connect(server(port, other.root))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_protocols_are_refused(authority: Authority, good: Certificate) -> None:
    def serve(sock: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(good.certificate, good.key)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.wrap_socket(sock, server_side=True).close()

    with serving(serve) as port, pytest.raises(ServerAway, match="no TLS"):
        connect(server(port, authority.root))


def test_files_are_read_anew_when_they_change(
    authority: Authority, good: Certificate, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(Authority(tmp_path / "old").root.read_bytes())

    def try_it(port: int) -> None:
        to = server(port, file)
        connect_tls(to, context_of(to), time.monotonic() + SECONDS).close()

    with serving(echo(good)) as port, pytest.raises(ServerAway):
        try_it(port)
    file.write_bytes(authority.root.read_bytes())
    with serving(echo(good)) as port:
        try_it(port)
    to = server(port, file)
    file.write_text("no certificate")
    with pytest.raises(Unusable, match=r"by .*ca\.pem"):
        context_of(to)


def test_a_key_that_asks_for_a_password_is_unusable(
    authority: Authority, good: Certificate
) -> None:
    key = encrypted_key(good, "opens-it-1")
    more = {"cert-path": str(good.certificate), "key-path": str(key)}
    with pytest.raises(Unusable, match="encrypted"):
        context_of(server(1, authority.root, **more))
