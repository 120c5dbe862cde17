"""Going back to a preferred address, once a server has answered there for a while."""

# 1. Of a client's addresses each is preferred to the ones behind it. A server is there while each
#    look finds that it answers PING; one that loads, drains or is away does not.
# 2. A look is a connection of its own, beside the present one, and takes LOOK_SECONDS_MAX at most.
# 3. Looks are taken where the client waits or is about to ask, not by a thread of their own: a
#    client that is not used looks at nothing.

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from csp.client.address import Address
from csp.client.steps import Steps, Work
from csp.resp import request
from csp.secure import SecureSocket, Tls

RETURN_SECONDS = 60.0  # for so long a preferred server has to be there
BETWEEN_SECONDS = 5.0  # two looks at one that is there
AWAY_SECONDS = 15.0  # and where none is
LOOK_SECONDS_MAX = 0.5
PONG = b"+PONG\r\n"


class Preference:
    """What one client knows of the addresses before the one that it uses."""

    def __init__(
        self, addresses: Sequence[Address], tls: Tls | None, clock: Callable[[], float]
    ) -> None:
        self._addresses = addresses
        self._tls = tls
        self._clock = clock
        self._since: dict[int, float] = {}  # by place: since when it has been there
        self._look_at = 0.0

    @property
    def look_at(self) -> float:
        """When to look next, by the client's clock."""
        return self._look_at

    def better(self, at: int) -> Steps[int | None]:
        """The place of a server to go back to from the one at `at`; None: not now."""
        now = self._clock()
        if now < self._look_at:
            return None
        for place in range(at):
            address = self._addresses[place]
            is_there = yield Work(lambda to=address: answers(to, self._tls))  # type: ignore[misc]
            if not is_there:
                self._since.pop(place, None)
                continue
            since = self._since.setdefault(place, now)
            if now - since >= RETURN_SECONDS:
                self._since.clear()
                return place
        wait = BETWEEN_SECONDS if self._since else AWAY_SECONDS
        self._look_at = self._clock() + wait
        return None


def answers(address: Address, tls: Tls | None) -> bool:
    """Whether a server there takes sessions now."""
    try:
        plain = socket.create_connection(address, timeout=LOOK_SECONDS_MAX)
    except OSError:
        return False
    wire: socket.socket | SecureSocket = plain
    try:
        if tls is not None:
            wire = SecureSocket(plain, tls, address.host)
            wire.handshake()
        wire.send(request("PING"))
        return wire.recv(len(PONG)) == PONG
    except OSError:
        return False
    finally:
        wire.close()
