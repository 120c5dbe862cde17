"""Remembers sign-ins as keyed digests, so that a repeat costs no argon2id.

1. The key is random, lives in this process's memory alone and dies with it.
2. A digest covers the account's DBID and the revision of its record: any change of the account
   makes every digest of it worthless at once.
3. Right ones and wrong ones are remembered apart, a bounded number; the least used one goes first.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict

REMEMBERED_MAX = 100_000  # some 15 MB; more accounts than a large site has at work at once
DIGEST_BYTES = 32


class Remembered:
    """Past sign-ins of one outcome."""

    def __init__(self, count_max: int = REMEMBERED_MAX) -> None:
        self._count_max = count_max
        self._key = secrets.token_bytes(DIGEST_BYTES)
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def digest(self, user: bytes, password: bytes, dbid: int, revision: int) -> bytes:
        """The keyed digest of a sign-in; lengths keep the parts apart."""
        head = b"%d %d %d %d " % (dbid, revision, len(user), len(password))
        return hashlib.blake2b(
            head + user + password, key=self._key, digest_size=DIGEST_BYTES
        ).digest()

    def has(self, digest: bytes) -> bool:
        """Whether this sign-in was made before."""
        if digest not in self._digests:
            return False
        self._digests.move_to_end(digest)
        return True

    def add(self, digest: bytes) -> None:
        """Remembers one."""
        self._digests[digest] = None
        if len(self._digests) > self._count_max:
            self._digests.popitem(last=False)

    def __len__(self) -> int:
        return len(self._digests)
