"""Says what a record of a client's session holds, and what a question about them asks.

1. A record is JSON: time (milliseconds UTC), what, why, session, server, account (a key),
   application, address. It travels and is kept as it was written.
2. Records are told oldest first; a page ends at its limit, but never between two of one time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

SIGN_IN: Final = "sign-in"
RESTORE: Final = "restore"
CERTIFICATE: Final = "certificate"
TICKET: Final = "ticket"  # of Kerberos
END: Final = "end"


class SessionsPage(NamedTuple):
    """One page of records."""

    following: int  # the `since` of the next page; 0: this is the last
    records: list[bytes]

    def words(self) -> tuple[int | bytes, ...]:
        """The page as parts of an answer."""
        return (self.following, *self.records)


@dataclass(frozen=True, slots=True)
class SessionsQuestion:
    """One question, checked."""

    since_ms: int = 0
    account: int = 0  # DBID; 0: all
    limit: int = 1_000

    def as_json(self) -> bytes:
        """For the channel between worker and writer, and the link."""
        return orjson.dumps([self.since_ms, self.account, self.limit])

    @classmethod
    def from_json(cls, text: bytes) -> SessionsQuestion:
        """What `as_json` wrote; ValueError or TypeError for anything else."""
        since_ms, account, limit = orjson.loads(text)
        return cls(int(since_ms), int(account), int(limit))


def batch_of(records: list[dict[str, Any]]) -> bytes:
    """Records on their way to the master."""
    return orjson.dumps(records)


def records_in(batch: bytes) -> list[dict[str, Any]]:
    """What `batch_of` wrote; ValueError for anything else."""
    found = orjson.loads(batch)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("a batch of session records is a list of maps")
    return found
