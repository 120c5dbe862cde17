"""The keys that tokens are signed with: how servers pass them on, and what is derived of them.

1. Only the master makes them, each ROTATE_MS a new one; the last KEPT are good.
2. They travel and lie beside the accounts, as one account record that is no person's: in no object,
   entry, export or history, and in no line of a log.
3. What is signed for another purpose has a key of its own, derived of the same secret.
4. Beside them lies the key that secret options are sealed with (csp/model/sealing.py): it stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from csp.model.accounts import build_account_image
from csp.model.types import MAX_DBID

KEYS_DBID: Final = MAX_DBID + 1  # of the account record that holds them
KEPT: Final = 2
SECRET_BYTES: Final = 32
ROTATE_MS: Final = 24 * 3600 * 1000
TOKENS: Final = b"csp token"  # a purpose


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One of them."""

    id: int
    made_ms: int
    secret: bytes = field(repr=False)

    def derived(self, purpose: bytes) -> bytes:
        """The key for one purpose."""
        return hashlib.blake2b(purpose, key=self.secret, digest_size=SECRET_BYTES).digest()


def keys_image(keys: Sequence[TokenKey], sealing: bytes, revision: int) -> bytes:
    """The account record that holds them, and the key that options are sealed with."""
    rows = [{"id": key.id, "made": key.made_ms, "secret": key.secret.hex()} for key in keys]
    return build_account_image(KEYS_DBID, {"keys": rows, "sealing": sealing.hex()}, revision)


def read_keys(record: bytes) -> tuple[TokenKey, ...]:
    """The keys of such a record's JSON, the newest last; ValueError where it holds none."""
    try:
        rows = orjson.loads(record)["keys"]
        keys = [TokenKey(int(one["id"]), int(one["made"]), bytes.fromhex(one["secret"]))
                for one in rows]  # fmt: skip
    except (KeyError, TypeError) as error:
        raise ValueError(f"the record of token keys can't be read: {error!r}") from error
    return tuple(sorted(keys, key=lambda key: key.id))


def read_sealing(record: bytes | None) -> bytes | None:
    """The key that options are sealed with, of such a record's JSON; None where it has none."""
    if record is None:
        return None
    found = orjson.loads(record).get("sealing")
    return bytes.fromhex(found) if isinstance(found, str) else None
