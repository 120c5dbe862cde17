"""What both clients are but for how they wait: whose server they use, and their one connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, Self, TypeVar

from csp.client.address import Address
from csp.client.commands import Commands
from csp.client.core import OUTCOME_SECONDS, RECONNECT_SECONDS, Credentials
from csp.client.problems import ConnectionLost


class Closable(Protocol):
    """What is asked here of a connection of either kind."""

    @property
    def is_closed(self) -> bool: ...

    def close(self) -> None: ...


Link = TypeVar("Link", bound=Closable)


class Shell(Generic[Link]):
    """A client of one server, or of the first that answers of several.

    Raises the class of csp.errors that the server's first word names; CannotConnect, ConnectionLost
    when there is no server; UnknownOutcome, NotApplied when a write's reply was lost.
    reconnect_seconds 0: never connect again by itself.
    """

    def __init__(
        self,
        addresses: Address | Sequence[Address],
        credentials: Credentials | None,
        *,
        name: str = "",
        reconnect_seconds: float = RECONNECT_SECONDS,
        outcome_seconds: float = OUTCOME_SECONDS,
    ) -> None:
        self.credentials = credentials
        self._connection: Link | None = None
        self._core = Commands(
            addresses,
            credentials,
            name=name,
            reconnect_seconds=reconnect_seconds,
            outcome_seconds=outcome_seconds,
            is_open=lambda: self._connection is not None and not self._connection.is_closed,
        )

    def close(self) -> None:
        """Closes the connection; the next call opens one again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def address(self) -> Address:
        """The server that is in use, or tried next."""
        return self._core.address

    def _sibling(self) -> Self:
        """A client of the same servers with a connection of its own."""
        return type(self)(
            self._core.addresses,
            self.credentials,
            name=self._core.name,
            reconnect_seconds=self._core.reconnect_seconds,
            outcome_seconds=self._core.outcome_seconds,
        )

    def _open_one(self) -> Link:
        if self._connection is None:
            raise ConnectionLost("the connection is closed")
        return self._connection
