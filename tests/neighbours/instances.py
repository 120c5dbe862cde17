"""The segments of an instance without a server, and a writer's host on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from csp._fastpath import Control
from csp.process.roles import WRITER
from csp.store import segment
from csp.store.host import StoreHost


@contextmanager
def made(name: str) -> Iterator[str]:
    """A control segment of this name; whatever has the name is removed before and after."""
    segment.unlink_all(name)
    Control(segment.create(segment.control_name(name), Control.SIZE), format=True)
    yield name
    segment.unlink_all(name)


def open_host(
    name: str, *, reserve_bytes: int, log_bytes: int, wake_fds: Sequence[int] = (), run: int = 0
) -> StoreHost:
    """What the writer has of the instance."""
    control = Control(segment.open_control(name))
    return StoreHost(
        name,
        control,
        reserve_bytes=reserve_bytes,
        log_bytes=log_bytes,
        slot=WRITER.slot,
        wake_fds=wake_fds,
        run=run,
    )
