"""What both clients are but for how they wait: whose server they use, and their one connection."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Generic, Protocol, Self, TypeVar

from csp.client.address import Address, AddressLike
from csp.client.commands import Commands
from csp.client.core import OUTCOME_SECONDS, RECONNECT_SECONDS, Credentials
from csp.client.kerberos import Kerberos
from csp.client.problems import ConnectionLost
from csp.client.session import Session
from csp.client.steps import TIMEOUT_SECONDS
from csp.secure import Tls


class Closable(Protocol):
    """What is asked here of a connection of either kind."""

    @property
    def is_closed(self) -> bool: ...

    @property
    def is_waiting(self) -> bool: ...

    def close(self) -> None: ...

    def end(self) -> None: ...


Link = TypeVar("Link", bound=Closable)
# Not to be closed in a child: a loop's selector is shared, and would forget the parent's socket.
_LEFT_TO_PARENTS: list[object] = []


class Shell(Generic[Link]):
    """A client of one server, or of the first that answers of several.

    Raises the class of csp.errors that the server's first word names; CannotConnect, ConnectionLost
    when there is no server; UnknownOutcome, NotApplied when a write's reply was lost.
    timeout: seconds in which nothing came after which a call gives its connection up; None: never.
    reconnect_seconds 0: never connect again by itself.
    application: what it registers as at each connection; it then signs in by the newest token.
    credentials: a user and a password, or Kerberos(): the ticket of whoever runs this process.
    session: shared by clients of one user: token, what was seen, how often it had to read anew.
    tls: how TLS is spoken; "rediss://HOST:PORT" alone means with what the system trusts.
    prefer_first: it goes back to an earlier address when a server has answered there for a minute.
    In a process that was forked it opens a connection of its own.
    """

    def __init__(
        self,
        addresses: AddressLike | Sequence[AddressLike],
        credentials: Credentials | Kerberos | None,
        *,
        name: str = "",
        timeout: float | None = TIMEOUT_SECONDS,
        reconnect_seconds: float = RECONNECT_SECONDS,
        outcome_seconds: float = OUTCOME_SECONDS,
        application: str = "",
        session: Session | None = None,
        tls: Tls | None = None,
        prefer_first: bool = False,
    ) -> None:
        self.session = session or Session(application)
        self.credentials = credentials
        self._connection: Link | None = None
        self._pid = os.getpid()
        self._core = Commands(
            addresses,
            credentials,
            name=name,
            timeout=timeout,
            reconnect_seconds=reconnect_seconds,
            outcome_seconds=outcome_seconds,
            session=self.session,
            tls=tls,
            prefer_first=prefer_first,
            is_open=lambda: self._connection is not None and not self._connection.is_closed,
        )

    def close(self) -> None:
        """Closes the connection; the next call opens one again."""
        self._own()
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
            timeout=self._core.timeout,
            reconnect_seconds=self._core.reconnect_seconds,
            outcome_seconds=self._core.outcome_seconds,
            session=self.session,
            tls=self._core.tls,
            prefer_first=self._core.prefer_first,
        )

    def _end(self) -> None:
        """Ends the connection from elsewhere than where it is used."""
        self._own()
        if self._connection is not None:
            self._connection.end()

    def _is_waiting(self) -> bool:
        """Whether the connection waits with nothing half received."""
        return self._connection is not None and self._connection.is_waiting

    def _own(self) -> None:
        """In a forked process: leaves the connection to the parent, whose replies come on it."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            _LEFT_TO_PARENTS.append(self._connection)
            self._connection = None
            # Another thread, or a loop, of the parent may hold it for ever here.
            self.__dict__.pop("_turn", None)

    def _open_one(self) -> Link:
        if self._connection is None:
            raise ConnectionLost("the connection is closed")
        return self._connection
