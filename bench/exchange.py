"""Keeps requests in flight on many connections of one server, from one loop, and times each.

Each connection sends its next request when a reply is there; nothing is said while others wait.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

RECEIVE_BYTES = 1 << 18
SILENT_SECONDS_MAX = 30.0


class WrongReply(Exception):
    """The server refused what a benchmark asks for."""


class Wire(Protocol):
    """One connection's protocol."""

    def greet(self, peer: socket.socket) -> None:
        """What comes before the first write; it is not measured."""

    def request(self, number: int) -> bytes:
        """The bytes of a write."""

    def replies(self, data: bytes) -> tuple[int, bytes]:
        """How many replies the received bytes complete, and what is to be sent by itself."""


@dataclass
class Result:
    """What one run saw."""

    count: int
    seconds: float
    latencies_ms: list[float] = field(repr=False)

    @property
    def a_second(self) -> float:
        return self.count / self.seconds

    def percentile_ms(self, part: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


class _Connection:
    def __init__(self, port: int, wire: Wire) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wire = wire
        self.sent: deque[float] = deque()
        wire.greet(self.socket)

    def send(self, data: bytes) -> None:
        if data:
            self.socket.sendall(data)


def exchange(
    port: int,
    wires: Sequence[Wire],
    *,
    in_flight: int,
    until: Callable[[int], bool],
) -> Result:
    """Writes on every connection until told to end by their count so far."""
    selector = selectors.DefaultSelector()
    connections = [_Connection(port, wire) for wire in wires]
    for one in connections:
        selector.register(one.socket, selectors.EVENT_READ, one)
    number = done = 0
    latencies: list[float] = []

    def ask(one: _Connection, count: int) -> None:
        nonlocal number
        requests = [one.wire.request(number + at) for at in range(count)]
        number += count
        now = time.monotonic()
        one.sent.extend([now] * count)
        one.send(b"".join(requests))

    began = time.monotonic()
    for one in connections:
        ask(one, in_flight)
    is_ending = False
    while any(one.sent for one in connections):
        ready = selector.select(SILENT_SECONDS_MAX)
        if not ready:
            raise WrongReply(f"the server is silent for {SILENT_SECONDS_MAX:g} s")
        for key, _ in ready:
            one = key.data
            data = one.socket.recv(RECEIVE_BYTES)
            if not data:
                raise WrongReply("the server closed a connection")
            count, answer = one.wire.replies(data)
            one.send(answer)
            now = time.monotonic()
            latencies += [(now - one.sent.popleft()) * 1000 for _ in range(count)]
            done += count
            is_ending = is_ending or until(done)
            if count and not is_ending:
                ask(one, count)
    result = Result(done, time.monotonic() - began, latencies)
    for one in connections:
        one.socket.close()
    selector.close()
    return result
