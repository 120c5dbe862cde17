"""What the core asks of its driver: open, exchange, listen, pause; the driver does it and answers.

The core is written once, as generators that yield these steps.
`AsyncClient` does them on asyncio's streams, `Client` on sockets.
A step that fails is thrown into the generator as a CspError.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from csp.client.address import Address

Result = TypeVar("Result")
TIMEOUT_SECONDS = 30.0  # a full transaction takes seconds; who waits longer has to say so


@dataclass(frozen=True, slots=True)
class Open:
    """Open a connection to this address in place of the present one; CannotConnect if it fails."""

    address: Address


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Send these bytes and answer with the list of so many replies; errors stand among them.

    ConnectionLost after so many seconds in which nothing came; None: the client's `timeout`.
    """

    data: bytes
    replies: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Listen:
    """Answer with the next push, or None after so many seconds without one."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Answer with what this call gives, which may wait; a CspError that it raises is thrown."""

    call: Callable[[], object]


Step = Open | Close | Exchange | Listen | Pause | Work
Steps = Generator[Step, Any, Result]
