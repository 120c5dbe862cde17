"""Finds ports that nobody listens on, and says whether somebody does."""

from __future__ import annotations

import os
import socket

# Below the ephemeral range, so that outgoing connections don't take one meanwhile;
# each test process walks a range of its own.
FIRST = 12_000
RANGE = 200
_next = FIRST + (os.getpid() * 7 % 90) * RANGE


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which a listener can be bound now; not handed out twice by one process."""
    global _next
    while True:
        _next += 1
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, _next))
            except OSError:
                continue
            return _next


def is_listening(port: int) -> bool:
    """Whether a connection to a port of this machine is taken."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
