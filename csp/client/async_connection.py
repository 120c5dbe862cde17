"""One connection on asyncio's streams: sends commands, receives replies, in order."""

# 1. Nothing waits for the server to take what is sent: asyncio sends it while replies are read,
#    so a pipeline of any length cannot deadlock.
# 2. A connection on which anything was lost is closed, never used again.
# 3. While `is_waiting`, nothing is half received: a wait that is broken off there loses nothing.

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from csp.client.address import Address
from csp.client.connection import (
    CONNECT_SECONDS_MAX,
    RECEIVE_BYTES,
    Taken,
    cannot_connect,
    keep_alive,
)
from csp.client.incoming import Incoming, Value
from csp.client.problems import ConnectionLost
from csp.secure import Tls, why_broken


class AsyncConnection:
    """A connection as it was opened: RESP2, not signed in."""

    def __init__(
        self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.address = address
        self._incoming = Incoming(address)
        self._reader = reader
        self._writer = writer
        self._closed = False
        self.is_waiting = False

    @classmethod
    async def open(cls, address: Address, tls: Tls | None = None) -> Self:
        """Connects within CONNECT_SECONDS_MAX; CannotConnect says why it could not."""
        options: dict[str, Any] = {"limit": RECEIVE_BYTES}
        try:
            if tls is not None:
                options |= {"ssl": tls.context(), "server_hostname": tls.name_of(address.host)}
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                reader, writer = await asyncio.open_connection(*address, **options)
        except OSError as problem:  # a TimeoutError is one
            raise cannot_connect(address, problem) from problem
        keep_alive(writer.get_extra_info("socket"))
        return cls(address, reader, writer)

    def close(self) -> None:
        """Closes the socket at once, unsent bytes included; harmless a second time."""
        if not self._closed:
            self._closed = True
            self._writer.transport.abort()

    def end(self) -> None:
        """Ends it from another task: who waits on it is told at once that it is closed."""
        self.close()

    @property
    def is_closed(self) -> bool:
        return self._closed

    async def exchange(self, data: bytes, replies: int, seconds: float | None) -> list[Value]:
        """Sends, and returns so many replies; errors stand among them.

        ConnectionLost after so many seconds in which nothing came.
        """
        if self._closed:
            raise ConnectionLost(f"the connection to {self.address} is closed")
        self._writer.write(data)
        values: list[Value] = []
        while len(values) < replies:
            found, value = self._closing_on_loss(self._incoming.next)
            if found:
                values.append(value)
            elif not await self._receive(seconds):
                self.close()
                raise ConnectionLost(f"{self.address} gave no reply for {seconds:g} s")
        return values

    async def next_push(self, seconds: float | None) -> list[Value] | None:
        """The next push, or None after so many seconds; an error reply is raised."""
        while (push := self._closing_on_loss(self._incoming.next_push)) is None:
            if not await self._receive(seconds):
                return None
        return push

    def _closing_on_loss(self, take: Callable[[], Taken]) -> Taken:
        try:
            return take()
        except ConnectionLost:
            self.close()
            raise

    async def _receive(self, seconds: float | None) -> bool:
        """Receives once; False after so many seconds without a byte."""
        try:
            async with asyncio.timeout(seconds) as limit:
                self.is_waiting = True
                data = await self._reader.read(RECEIVE_BYTES)
                self.is_waiting = False
            self._incoming.feed(data)
        except TimeoutError:
            if limit.expired():
                return False
            self.close()
            raise ConnectionLost(f"the connection to {self.address} timed out") from None
        except ConnectionLost:
            self.close()
            raise
        except OSError as problem:
            self.close()
            raise ConnectionLost(
                f"the connection to {self.address} broke: {why_broken(problem)}"
            ) from problem
        return True
