"""What a backend of external sign-in is: opened once a process, it decides who a password is of.

1. A directory is asked from several threads at once; what it keeps between questions it guards.
2. `authenticate` comes back before its deadline: every wait of it is given `left(deadline)`.
3. A verdict is one of four, and only ACCEPTED lets anybody in: whatever goes wrong fails closed.
4. No secret stands in a name, in words, or in what `repr` shows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from csp.external.settings import Settings


class Kind(Enum):
    """What a directory's answer comes to."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # the directory said no; `words` are its own, for the user
    AWAY = "away"  # no server of it answered in time; `words` say which and why, for the log
    UNUSABLE = "unusable"  # settings or a package are wrong; `words` say which, for administrators


@dataclass(frozen=True)
class Verdict:
    """The answer to one question."""

    kind: Kind
    words: str = ""
    # Of ACCEPTED where the secret was no password: who it is of (`principal`), what goes back to
    # the client (`reply`). Not shown: a reply may be a credential.
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)


class Unusable(Exception):
    """A backend or a directory can't work as it is set up; the text says what to do."""


class Directory(Protocol):
    """One directory: the servers that one set of settings names, in order."""

    name: str  # for logs and alarms

    def authenticate(self, user: str, secret: bytes, deadline: float) -> Verdict:
        """Whether the secret (a password, neither empty nor blank) is the user's.

        `deadline` is in seconds of `time.monotonic`. May raise Unusable; whatever else it raises
        is logged as a fault and is UNUSABLE for the user.
        """
        ...


class Backend(Protocol):
    """One way of asking directories; made in its own process, where its package is imported."""

    def open(self, settings: Settings) -> Directory:
        """The directory of these settings, without a connection yet; raises Unusable."""
        ...


def left(deadline: float) -> float:
    """The seconds that are left, at least a moment: libraries take 0 for `for ever`."""
    return max(0.001, deadline - time.monotonic())
