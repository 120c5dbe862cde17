"""Runs the C clients of the bench: told by lines what to do, they answer by lines of JSON."""

from __future__ import annotations

import subprocess
from types import TracebackType
from typing import Any, Self

import orjson
import psutil

from bench.load import CORES, Peer
from bench.native import program

STOP_SECONDS_MAX = 30
READY = "ready\n"


class ClientFailed(Exception):
    """A client ended instead of doing what it was told; its own words are on stderr."""


class Client:
    """One C client on the last core, ready when the block begins."""

    def __init__(self, name: str, *arguments: object) -> None:
        self.name = name
        self.command = [str(program(name)), *map(str, arguments)]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        psutil.Process(self.process.pid).cpu_affinity(CORES[-1:])
        if self._line() != READY:
            raise ClientFailed(f"{self.name} did not begin")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.process.kill()
        self.process.communicate(timeout=STOP_SECONDS_MAX)

    def tell(self, line: str) -> None:
        """Says what to do; does not wait until it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def told(self) -> dict[str, Any]:
        """Waits until it is done: what the client saw."""
        seen: dict[str, Any] = orjson.loads(self._line())
        return seen

    def ask(self, line: str) -> dict[str, Any]:
        """Both."""
        self.tell(line)
        return self.told()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ClientFailed(f"{self.name} ended with {self.process.wait(STOP_SECONDS_MAX)}")
        return line


class Swarm(Client):
    """Subscribers of the channel cfg, which read only while they take messages."""

    def __init__(self, peer: Peer, count: int, receive_bytes: int = 0) -> None:
        who = (peer.user, peer.password)
        super().__init__("swarm", peer.address, count, "cfg", *who, receive_bytes)
        self.count = count

    def taken(self, messages: int) -> dict[str, Any]:
        """What `take` answers; ClientFailed if the server closed one of the connections."""
        seen = self.told()
        if seen["closed"] or seen["messages"] != self.count * messages:
            raise ClientFailed(f"the server closed {seen['closed']} of {self.count} subscribers")
        return seen

    def take(self, messages: int) -> dict[str, Any]:
        """Reads so many messages on each connection."""
        self.tell(f"take {messages}")
        return self.taken(messages)
