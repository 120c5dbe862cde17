"""Ends registered connections that were silent for longer than CFG.REGISTER … KEEPALIVE allows.

1. What counts is what the kernel has received: a connection that this worker does not read, because
   its replies are not taken yet, is heard all the same.
2. Only time in which this worker turned is counted, a tick at a time: after it stood still nobody
   is ended for what could not be heard.
3. Where replies wait to be sent, a peer that takes some of them is alive: who reads a huge result
   need say nothing meanwhile.
4. A connection is looked at a few times within its time-out, and at most LOOKS_AT_ONCE a tick.
"""

from __future__ import annotations

import heapq
import logging
import socket
from dataclasses import dataclass
from struct import Struct
from typing import Final

from csp.observe.events import log_event
from csp.worker.call import Lane

TICK_MS: Final = 250
LOOKS_AT_ONCE: Final = 500  # some 5 ms
LOOKS_A_TIMEOUT: Final = 4
_PURPOSE = "silence"  # under which an end is noted

# Of tcp_info in linux/tcp.h: milliseconds since data came; bytes acknowledged, bytes received.
_RECEIVED_AGO: Final = Struct("<52xI")
_BYTES: Final = Struct("<120xQQ")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Held:
    """One connection."""

    timeout_ms: int
    is_server: bool
    heard_ms: int  # by the clock of the ticks
    acked_bytes: int = 0
    received_bytes: int = 0


class Silences:
    """The connections of this worker that have said how long they may be silent."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._held: dict[int, Held] = {}
        self._looks: list[tuple[int, int, int, Held]] = []  # when to look at whom, a heap
        self._count = 0
        self._now_ms = 0  # in ticks: it stands still while the worker does
        self._is_ticking = False

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, conn: int, timeout_ms: int, *, is_server: bool) -> None:
        """Ends the connection when it is silent for so long, milliseconds; 0: never."""
        self._let_go(conn)
        if not timeout_ms:
            return
        held = self._held[conn] = Held(timeout_ms, is_server, self._now_ms)
        self._lane.states[conn].on_close[_PURPOSE] = lambda: self._let_go(conn)
        self._look_in(timeout_ms // LOOKS_A_TIMEOUT, conn, held)
        if not self._is_ticking:
            self._is_ticking = True
            self._lane.loop.call_later(TICK_MS, self._tick)

    def _let_go(self, conn: int) -> None:
        if self._held.pop(conn, None) is not None and conn in self._lane.states:
            self._lane.states[conn].on_close.pop(_PURPOSE, None)

    def _look_in(self, wait_ms: int, conn: int, held: Held) -> None:
        self._count += 1
        due_ms = self._now_ms + max(TICK_MS, wait_ms)
        heapq.heappush(self._looks, (due_ms, self._count, conn, held))

    def _tick(self) -> None:
        self._now_ms += TICK_MS
        for _ in range(LOOKS_AT_ONCE):
            if not self._looks or self._looks[0][0] > self._now_ms:
                break
            *_, conn, held = heapq.heappop(self._looks)
            if self._held.get(conn) is held:
                self._look_at(conn, held)
        self._is_ticking = bool(self._held)
        if self._is_ticking:
            self._lane.loop.call_later(TICK_MS, self._tick)
        else:
            self._looks.clear()

    def _look_at(self, conn: int, held: Held) -> None:
        row = self._lane.loop.client(conn)
        fd, pending = int(row["fd"]), self._lane.loop.pending(conn)
        ago_ms, acked, received = _tcp_info(fd)
        if received != held.received_bytes:
            held.heard_ms = max(held.heard_ms, self._now_ms - ago_ms)
        elif pending and acked != held.acked_bytes:
            held.heard_ms = self._now_ms
        held.received_bytes, held.acked_bytes = received, acked
        silent_ms = self._now_ms - held.heard_ms
        if silent_ms < held.timeout_ms:
            left_ms = held.timeout_ms - silent_ms
            self._look_in(min(left_ms, held.timeout_ms // LOOKS_A_TIMEOUT), conn, held)
            return
        self._end(conn, held, fd, has_unsent=pending > 0)

    def _end(self, conn: int, held: Held, fd: int, *, has_unsent: bool) -> None:
        state = self._lane.states[conn]
        state.why_ending = f"nothing was heard of it for {held.timeout_ms} ms"
        if held.is_server:
            address = self._lane.loop.session(conn).address
            fields = {"app": state.application, "address": address, "ms": held.timeout_ms}
            log_event(log, "51275", **fields)
        self._let_go(conn)
        if has_unsent:  # what is unsent would be waited for
            _shut(fd)
        else:
            self._lane.loop.close(conn)


def _tcp_info(fd: int) -> tuple[int, int, int]:
    """Milliseconds since data came; bytes that the peer's kernel took, bytes that came."""
    connection = _borrowed(fd)
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES.size)
    finally:
        connection.detach()
    (ago_ms,) = _RECEIVED_AGO.unpack_from(info)
    acked, received = _BYTES.unpack_from(info)
    return ago_ms, acked, received


def _shut(fd: int) -> None:
    connection = _borrowed(fd)
    try:
        connection.shutdown(socket.SHUT_RDWR)
    finally:
        connection.detach()


def _borrowed(fd: int) -> socket.socket:
    """The loop's socket; its family plays no part in what is asked of it."""
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=fd)
