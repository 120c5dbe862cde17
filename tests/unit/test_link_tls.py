"""A link's TLS in every order of events: nothing of it waits, and each end has its words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from csp.feed.link import CONNECT_MS_MAX, Link, LinkState
from csp.feed.route import Route
from csp.process.context import Upstream
from csp.process.lookup import Endpoint
from csp.resp import Value
from csp.secure import Tls
from tests.neighbours.certificates import Authority
from tests.neighbours.waiting import wait_until

SECONDS = 10.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        found.settimeout(SECONDS)
        yield found


class Held:
    """A link, and what its owner is told."""

    def __init__(self, port: int, tls: Tls) -> None:
        self.told: list[str] = []
        self.values: list[Value] = []
        endpoint = Endpoint(socket.AF_INET, ("127.0.0.1", port))
        self.link = Link(
            Route(endpoint, "127.0.0.1", tls),
            Upstream("127.0.0.1", port, "default", "geheim"),
            title="csp-proxy-test",
            number=0,
            now_ms=0,
            on_ready=lambda: self.told.append("ready"),
            on_value=self.values.append,
            on_broken=self.told.append,
            on_refused=lambda reason, word: self.told.append(f"{word}: {reason}"),
        )

    def turn(self) -> None:
        """What a loop does when the socket can be read and written."""
        if self.link.watch() is not None:
            self.link.ready()

    def until(self, condition: Callable[[], object], what: str) -> None:
        def reached() -> bool:
            self.turn()
            return bool(condition())

        wait_until(reached, SECONDS, what)


class Server:
    """The other end, which goes on step by step, in the test's own thread."""

    def __init__(self, listener: socket.socket, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.plain, _ = listener.accept()
        self.plain.setblocking(False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.heard = b""

    def step(self, most: int = 1 << 16) -> None:
        """Takes so many bytes and gives what comes of it, one at a time."""
        try:
            self.incoming.write(self.plain.recv(most))
            self.tls.do_handshake()
            self.heard += self.tls.read(1 << 16)
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        self.flush()

    def flush(self) -> None:
        for byte in self.outgoing.read():
            self.plain.send(bytes([byte]))

    def say(self, data: bytes) -> None:
        self.tls.write(data)
        self.flush()


def test_a_handshake_in_pieces_of_a_byte_comes_to_its_end(
    listener: socket.socket, authority: Authority
) -> None:
    own = authority.issue()
    held = Held(listener.getsockname()[1], Tls(ca=str(authority.root)))
    held.until(lambda: held.link.state is LinkState.SECURING, "it is connected")
    server = Server(listener, own.certificate, own.key)

    def signs_in() -> bool:
        server.step(1)
        return b"geheim" in server.heard

    held.until(signs_in, "it signs in by TLS")
    server.say(b"+PONG\r\n*0\r\n")
    held.until(lambda: held.told == ["ready"], "it is signed in")
    big = b"$100000\r\n" + b"x" * 100_000 + b"\r\n"
    server.say(big)
    held.until(lambda: held.values == [b"x" * 100_000], "more than a record comes whole")
    held.link.close()
    server.plain.close()


def test_nothing_is_said_before_the_server_is_known(
    listener: socket.socket, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other").issue()
    held = Held(listener.getsockname()[1], Tls(ca=str(authority.root)))
    held.until(lambda: held.link.state is LinkState.SECURING, "it is connected")
    server = Server(listener, other.certificate, other.key)

    def ended() -> bool:
        with suppress(ssl.SSLError):  # the alert
            server.step()
        return bool(held.told)

    held.until(ended, "it is given up")
    assert "its certificate is refused" in held.told[0]
    assert "geheim" not in held.told[0]
    assert server.heard == b""
    server.plain.close()


def test_a_server_that_agrees_on_nothing_is_given_up(
    listener: socket.socket, authority: Authority
) -> None:
    held = Held(listener.getsockname()[1], Tls(ca=str(authority.root)))
    held.until(lambda: held.link.state is LinkState.SECURING, "it is connected")
    held.link.tick(CONNECT_MS_MAX)
    assert held.told == []
    held.link.tick(CONNECT_MS_MAX + 1)
    assert held.told == [f"TLS was not agreed on within {CONNECT_MS_MAX} ms"]


def test_what_answers_in_plain_text_is_no_server_by_tls(
    listener: socket.socket, authority: Authority
) -> None:
    held = Held(listener.getsockname()[1], Tls(ca=str(authority.root)))
    held.until(lambda: held.link.state is LinkState.SECURING, "it is connected")
    plain, _ = listener.accept()
    with plain:
        plain.sendall(b"-ERR this port is plain\r\n")
        held.until(lambda: held.told, "it is given up")
    assert held.told == ["what answers there does not speak TLS"]


def test_a_file_that_is_not_there_is_told_when_it_connects(listener: socket.socket) -> None:
    held = Held(listener.getsockname()[1], Tls(ca="/nowhere/ca.pem"))
    held.until(lambda: held.told, "it is given up")
    assert held.told == ["/nowhere/ca.pem can't be read: No such file or directory"]
    assert held.link.watch() is None
