"""Takes back the listeners that the service manager kept over a restart, so that none is refused.

1. The protocol is systemd's: descriptors from 3 on, LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES.
2. One is taken for the address at which it is bound; its name is for people, and for giving it up.
3. What fits no port of this run is closed, and said: who waited in its queue is reset.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import MutableMapping
from typing import Any

from csp.observe.events import log_event

FIRST_FD = 3
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")

log = logging.getLogger("csp.supervisor")

Bound = tuple[int, str, int]  # family, host, port


class KeptListeners:
    """Those of an earlier run that nobody has taken yet."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Takes the variables away: no child is to think that they are for it."""
        pid, count, names, _ = (environment.pop(name, "") for name in VARIABLES)
        self._left: dict[Bound, list[tuple[str, socket.socket]]] = {}
        if not (pid.isdecimal() and count.isdecimal() and int(pid) == os.getpid()):
            return
        known = names.split(":") if names else []
        for place in range(int(count)):
            self._add(FIRST_FD + place, known[place] if place < len(known) else "unknown")

    def _add(self, fd: int, name: str) -> None:
        os.set_inheritable(fd, False)
        kept = socket.socket(fileno=fd)
        if kept.family not in (socket.AF_INET, socket.AF_INET6) or kept.type != socket.SOCK_STREAM:
            log_event(log, "51047", name=name, reason="it is no listener")
            kept.close()
            return
        bound = kept.getsockname()
        self._left.setdefault((kept.family, bound[0], bound[1]), []).append((name, kept))

    def take(self, family: int, name: tuple[Any, ...], most: int) -> list[socket.socket]:
        """Those bound at that address, at most so many."""
        there = self._left.get((family, name[0], name[1]), [])
        taken, there[:] = there[:most], there[most:]
        for _, listener in taken:
            # It may have been shut, which also keeps others from sharing the address.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return [listener for _, listener in taken]

    def close_rest(self) -> list[str]:
        """Closes what fits nothing; the names of it, for the service manager to forget."""
        names = []
        for (_, host, port), there in self._left.items():
            for name, listener in there:
                log_event(log, "51047", name=name, reason=f"no worker listens at {host}:{port}")
                names.append(name)
                with contextlib.suppress(OSError):  # it was shut
                    listener.shutdown(socket.SHUT_RDWR)  # the manager still has it for a moment
                listener.close()
        self._left = {}
        return names
