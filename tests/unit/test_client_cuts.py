"""A subscription whose connection is cut, at every byte of what the server sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import orjson
import pytest
from hypothesis import settings

from csp.client import Address, Change, Client, Credentials, Gap
from csp.client.subscription import Event
from csp.errors import CspError
from csp.resp import Decoder, Push, encode
from tests.effort import CAMPAIGN

CHANGES = 3
# Every byte in a campaign, every eleventh one in the quick suite.
EVERY = 1 if settings.get_current_profile_name() == CAMPAIGN else 11


class CuttingServer:
    """Tells three changes, two of one transaction; a connection ends after so many bytes."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self.listener.getsockname())
        self.left = 0  # bytes until the cut; negative: none is to come
        self.sent = 0  # by the last connection that was not cut
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                self.sent = 0
                self._serve(peer)

    def _serve(self, peer: socket.socket) -> None:
        decoder, place = Decoder(), 10
        while data := peer.recv(1 << 16):
            decoder.feed(data)
            for command in decoder:
                assert isinstance(command, list)
                answers, place = answered([bytes(word) for word in command], place)  # type: ignore[arg-type]
                for answer in answers:
                    if not self._send(peer, answer):
                        return

    def _send(self, peer: socket.socket, data: bytes) -> bool:
        """Whether the connection is still there."""
        if 0 <= self.left < len(data):
            peer.sendall(data[: self.left])
            self.left = -1
            return False
        self.left -= len(data) if self.left >= 0 else 0
        self.sent += len(data)
        peer.sendall(data)
        return True


def answered(words: list[bytes], place: int) -> tuple[list[bytes], int]:
    """What the server sends, and where the connection's subscription begins."""
    if words[0] == b"HELLO":
        return [encode({"proto": 3}, 3)], place
    if words[0] == b"CFG.FROM":
        place = 10 if words[1] == b"NOW" else int(words[1])
        return [encode([b"cfg.from", place, None], 3)], place
    if words[0] == b"SUBSCRIBE":
        confirmed = encode(Push([b"subscribe", b"cfg", 1]), 3)
        return [confirmed, *(message(*one) for one in parts() if one[0] > place)], place
    return [b"+OK\r\n"], place


def parts() -> list[tuple[int, int, bool]]:
    """Revision, DBID, whether more of the transaction follow."""
    return [(11, 101, False), (12, 101, True), (12, 102, False)]


def message(revision: int, dbid: int, more: bool) -> bytes:
    content = {"op": "update", "class": "CfgSkill", "DBID": dbid, "revision": revision}
    payload = orjson.dumps(content | {"base": 1, "delta": {}, "more": more})
    return encode(Push([b"message", b"cfg", payload]), 3)


@pytest.fixture
def server() -> Iterator[CuttingServer]:
    server = CuttingServer()
    yield server
    server.listener.close()


def test_nothing_is_missed_or_told_twice_wherever_the_connection_is_cut(
    server: CuttingServer,
) -> None:
    server.left = -1
    assert told(server) == parts()
    for left in range(0, server.sent + 1, EVERY):
        server.left = left
        assert told(server) == parts(), f"cut after {left} bytes"


def told(server: CuttingServer) -> list[tuple[int, int, bool]]:
    """All changes that a subscription gives, whose second address is the first again."""
    found: list[Event] = []
    addresses = [server.address, server.address]
    with Client(addresses, Credentials(password="x")) as client:
        subscription = client.subscribe("cfg")
        with suppress(CspError):  # it is told, and asks again
            subscription.__enter__()
        while len(found) < CHANGES:
            with suppress(CspError):
                event = subscription.next(5)
                assert event is not None, "nothing comes any more"
                found.append(event)
        subscription.close()
    assert not any(isinstance(one, Gap) for one in found)
    return [(one.revision, one.dbid, one.more) for one in found if isinstance(one, Change)]
