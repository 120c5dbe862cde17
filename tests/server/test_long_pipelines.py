"""A pipeline longer than any buffer: each command runs once and in order, whatever its pieces."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from csp.resp import Decoder, request
from tests.neighbours.server import PASSWORD, Master

ROUNDS = 5


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("pipelines")) as master:
        yield master


@pytest.mark.parametrize("size", [10, 1_000, 20_000])
def test_each_command_runs_once(master: Master, size: int) -> None:
    decoder = Decoder()
    with socket.create_connection(("127.0.0.1", master.port), 10) as peer:
        peer.sendall(request("HELLO", 3, "AUTH", "default", PASSWORD))
        while not list(decoder):
            decoder.feed(peer.recv(1 << 16))
        for number in range(ROUNDS):
            texts = [b"%d.%d %s" % (number, index, b"x" * size) for index in range(200_000 // size)]
            peer.sendall(b"".join(request("ECHO", text) for text in texts[:2_000]))
            found: list[object] = []
            while len(found) < len(texts[:2_000]):
                decoder.feed(peer.recv(1 << 16))
                found += decoder
            assert found == texts[:2_000]
