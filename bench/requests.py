"""Writes the large requests of the measured rows into files, which the C client sends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.clients import Client
from bench.fill import Filled
from bench.load import Peer
from csp.resp import request


@dataclass(frozen=True)
class Requests:
    """A file of requests and how many replies they have."""

    path: Path
    replies: int

    def asker(self, peer: Peer) -> Client:
        """The client that sends them: tell it `whole`, `ask` or `go` (see native/asker.c)."""
        return Client("asker", peer.port, peer.user, peer.password, self.path, self.replies)


def write(path: Path, commands: Iterable[tuple[object, ...]], replies: int) -> Requests:
    """The commands one after the other."""
    with path.open("wb") as file:
        file.writelines(request(*command) for command in commands)
    return Requests(path, replies)


def keys(held: Filled, count: int) -> list[str]:
    """So many keys, which go round the objects."""
    return [f"{held.class_name}:{held.first + number % held.count}" for number in range(count)]
