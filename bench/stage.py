"""The stage of the measured rows: a master that is changed, and a proxy of it that is watched.

1. The master belongs to the load: it lies on the load's core and its CPU is not counted.
2. All changes are updates of an annex value that come to one length in every message.
"""

from __future__ import annotations

import socket
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import orjson
import psutil

from bench.fill import REPLY_SECONDS_MAX, Filled, fill
from bench.get import csp_peer
from bench.load import CORES, Peer
from csp.resp import MORE, Decoder, request
from tests.neighbours.server import PASSWORD, Master, Proxy

COUNTER_DIGITS = 9
SYNC_MS = 60_000
TRIAL_BYTES = 200  # of the value by which the length of a message is learnt
RECEIVE_BYTES = 1 << 20
RECEIVE_SECONDS_MAX = 60


class Stage:
    """A master with persons, a proxy of it, and what changes the persons."""

    def __init__(self, folder: Path, master: Master, proxy: Proxy, held: Filled) -> None:
        self.folder = folder
        self.master = master
        self.proxy = proxy
        self.held = held
        self.peer = csp_peer("csp", proxy)
        self.peer.keep_apart()
        for process in csp_peer("master", master).processes:
            process.cpu_affinity(CORES[-1:])
        self._author = master.raw(socket_timeout=REPLY_SECONDS_MAX)
        self._changes = 0

    @property
    def workers(self) -> list[psutil.Process]:
        """The proxy's worker processes."""
        roles = self.proxy.children()
        return [process for role, process in roles.items() if role.startswith("worker")]

    @property
    def worker(self) -> psutil.Process:
        """The only one."""
        (one,) = self.workers
        return one

    def change(self, objects: int, value_bytes: int) -> int:
        """Updates so many persons in one transaction; returns its revision."""
        commands = [("CFG.UPDATE", *self._update(number, value_bytes)) for number in range(objects)]
        if objects > 1:
            commands = [("MULTI",), *commands, ("EXEC",)]
        self._author.send_packed_command(self._author.pack_commands(commands))
        for _ in commands[:-1]:
            self._author.read_response()
        reply = self._author.read_response()
        return int(reply[-1] if objects > 1 else reply)

    def change_large(self, text_bytes: int) -> int:
        """Updates one person by a binary value of so many characters; returns its revision."""
        self._changes += 1
        value = b64encode(
            self._changes.to_bytes(3, "big") + bytes(text_bytes // 4 * 3 - 3)
        ).decode()
        delta = {"userProperties": {"changed": {"bench": {"large": {"base64": value}}}}}
        self._author.send_command("CFG.UPDATE", "CfgPerson", self.held.first, orjson.dumps(delta))
        return int(self._author.read_response())

    def _update(self, number: int, value_bytes: int) -> tuple[str, int, bytes]:
        self._changes += 1
        value = f"{self._changes:0{COUNTER_DIGITS}}".ljust(value_bytes, "x")
        delta = {"userProperties": {"changed": {"bench": {"value": value}}}}
        return "CfgPerson", self.held.first + number % self.held.count, orjson.dumps(delta)

    def arrived(self, revision: int) -> None:
        """Waits until the proxy has published it."""
        with self.proxy.client(socket_timeout=SYNC_MS / 1000 + 5) as client:
            client.execute_command("CFG.SYNC", revision, "TIMEOUT", SYNC_MS)

    def messages(self, objects: int, value_bytes: int) -> bytes:
        """What a subscriber of `cfg` gets of such a transaction, byte for byte."""
        with socket.create_connection(("127.0.0.1", self.proxy.port), RECEIVE_SECONDS_MAX) as to:
            to.sendall(request("AUTH", "default", PASSWORD) + request("SUBSCRIBE", "cfg"))
            _received(to, 2)
            self.change(objects, value_bytes)
            return _received(to, objects)

    def value_bytes(self, payload_bytes: int) -> int:
        """How long a value must be so that a message's payload is about so long."""
        payload = orjson.loads(self.messages(1, TRIAL_BYTES).split(b"\r\n")[6])
        length = len(orjson.dumps(payload))
        return max(TRIAL_BYTES + payload_bytes - length, COUNTER_DIGITS)


def _received(to: socket.socket, replies: int) -> bytes:
    """Whole replies, so many, as bytes."""
    decoder, pieces = Decoder(), []
    while replies:
        pieces.append(to.recv(RECEIVE_BYTES))
        if not pieces[-1]:
            raise ConnectionError("the server closed the connection")
        decoder.feed(pieces[-1])
        while replies and decoder.next() is not MORE:
            replies -= 1
    return b"".join(pieces)


@contextmanager
def stage(persons: int, object_bytes: int, *, workers: int = 1) -> Iterator[Stage]:
    """A master with so many persons and a proxy that has them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="csp-bench-")))
        master = stack.enter_context(Master(folder))
        click.echo(f"filling a master with {persons} persons of {object_bytes} bytes")
        held = fill(master, "CfgPerson", persons, object_bytes)
        proxy = stack.enter_context(Proxy(folder, master, workers=workers))
        yield Stage(folder, master, proxy, held)


def worker_peer(stage: Stage) -> Peer:
    """The proxy as a peer whose workers alone are counted."""
    return Peer("csp", stage.proxy.port, stage.workers, "default", PASSWORD)
