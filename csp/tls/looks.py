"""Looks at the files of all ports in a thread: a file system that hangs holds up nobody.

1. One look at a time; what is asked meanwhile is one more look after it.
2. What has not changed since it was read well is not read again, unless that is demanded.
3. A file is stamped before it is read: what changes while it is read is seen by the next look.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from csp.tls.files import BundleRefused, Check, Fingerprint, Read, fingerprints, read_bundle
from csp.tls.settings import PortSettings, Settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """One port that is to be looked at."""

    port: PortSettings
    # The files as they were when they were read well by these settings; empty: read them anew.
    stamps: Mapping[str, Fingerprint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What became of it."""

    settings: Settings | None  # by which it was looked at
    stamps: Mapping[str, Fingerprint]
    read: Read | None = None  # None: nothing is new, or it is refused
    refusal: str = ""


def look_at(wanted: Wanted, check: Check) -> Found:
    """What the files of one port are now."""
    settings = wanted.port.settings
    if settings is None:
        return Found(None, {}, refusal=wanted.port.refusal)
    stamps = fingerprints(settings.paths)
    if wanted.stamps and stamps == wanted.stamps:
        return Found(settings, stamps)
    try:
        return Found(settings, stamps, read=read_bundle(settings, check))
    except BundleRefused as refusal:
        return Found(settings, {}, refusal=str(refusal))


class Looks:
    """The thread, and what it found."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._todo: queue.SimpleQueue[list[Wanted]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[dict[int, Found]] = queue.SimpleQueue()
        self.is_busy = False
        self.done_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        threading.Thread(target=self._work, name="certificates", daemon=True).start()

    def start(self, wanted: list[Wanted]) -> None:
        """Begins a look; there must be none under way."""
        assert not self.is_busy
        self.is_busy = True
        self._todo.put(wanted)

    def take_done(self) -> dict[int, Found] | None:
        """What a look has found, by port number; called when `done_fd` is readable."""
        try:
            os.eventfd_read(self.done_fd)
        except BlockingIOError:
            return None
        self.is_busy = False
        return self._done.get()

    def _work(self) -> None:
        while True:
            wanted = self._todo.get()
            self._done.put({one.port.number: look_at(one, self._check) for one in wanted})
            os.eventfd_write(self.done_fd, 1)
