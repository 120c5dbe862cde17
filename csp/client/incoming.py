"""What comes in on a connection, apart from how it comes: replies in order, pushes beside them."""

from __future__ import annotations

from collections import deque

from csp.client.address import Address
from csp.client.decoding import new_decoder
from csp.client.problems import ConnectionLost
from csp.errors import CspError
from csp.resp import MORE, ProtocolError, Push

PUSHES_MAX = 100_000  # kept while nobody listens; then the connection is closed

Argument = bytes | str | int
Value = object  # what the decoder gives: texts as bytes, an error reply as a CspError


class Incoming:
    """Turns received bytes into replies and pushes; whoever gets ConnectionLost closes."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._pushes: deque[list[Value]] = deque()
        self._decoder = new_decoder()

    def feed(self, data: bytes) -> None:
        """Takes what was received; nothing means that the server closed."""
        if not data:
            raise ConnectionLost(f"{self.address} closed the connection")
        self._decoder.feed(data)

    def next(self) -> tuple[bool, Value]:
        """Whether a reply is complete, and the reply; pushes before it are put aside."""
        while True:
            try:
                value = self._decoder.next()
            except ProtocolError as problem:
                raise ConnectionLost(f"{self.address} does not speak RESP: {problem}") from problem
            if value is MORE:
                return False, None
            if not isinstance(value, Push):
                return True, value
            if len(self._pushes) >= PUSHES_MAX:
                raise ConnectionLost(f"more than {PUSHES_MAX} messages that nobody took")
            self._pushes.append(list(value))

    def next_push(self) -> list[Value] | None:
        """The next push; None where none is complete. An error reply is raised."""
        while not self._pushes:
            found, value = self.next()
            if isinstance(value, CspError):
                raise value
            if not found:
                break
        return self._pushes.popleft() if self._pushes else None
