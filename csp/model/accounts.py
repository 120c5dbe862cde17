"""The account record of a person: what a server must know to sign him in, and nobody is shown.

1. It lies beside the objects and travels between servers alone: in no object, export or history.
2. Its `revision` is that of its newest change, whatever that is; `credential` is the revision at
   which the password was set. What a session stands on is the credential.
3. What is 0 or empty is not written, so records of earlier releases read as they are.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from csp.model.extract import Object
from csp.model.image import assemble_inner, frame
from csp.model.places import NOWHERE
from csp.model.types import ACCOUNT_CLASS_ID

DIGESTS: Final = {16: "md5", 32: "sha256"}  # what the original stores, by its bytes


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """One record; times in milliseconds UTC."""

    user: str
    algorithm: str
    hash: str = field(repr=False)
    revision: int
    credential: int
    changed_ms: int = 0  # when the password was set; 0: not known
    earlier: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # the newest first
    login_ms: int = 0  # the last sign-in, where that is recorded
    locked_ms: int = 0  # until then it is locked

    def facts(self) -> str:
        """What has no column of its own in the database, as JSON; empty where there is nothing."""
        found = self._facts()
        return orjson.dumps(found).decode() if found else ""

    def _facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "credential": self.credential if self.credential != self.revision else 0,
            "changed": self.changed_ms,
            "earlier": [list(one) for one in self.earlier],
            "login": self.login_ms,
            "locked": self.locked_ms,
        }
        return {name: value for name, value in found.items() if value}

    def image(self, dbid: int) -> bytes:
        """The record as stores keep it and servers pass it on."""
        account = {"user": self.user, "algorithm": self.algorithm, "hash": self.hash}
        return build_account_image(dbid, account | self._facts(), self.revision)


def record_of(
    user: str, algorithm: str, hashed: str, revision: int, facts: str | Mapping[str, Any]
) -> AccountRecord:
    """The record of a row, or of a store's JSON."""
    more = orjson.loads(facts or "{}") if isinstance(facts, str) else facts
    return AccountRecord(
        user,
        algorithm,
        hashed,
        revision,
        int(more.get("credential") or revision),
        int(more.get("changed") or 0),
        tuple((str(one[0]), str(one[1])) for one in more.get("earlier") or ()),
        int(more.get("login") or 0),
        int(more.get("locked") or 0),
    )


def read_record(data: bytes) -> AccountRecord:
    """The record in a store's JSON."""
    found = orjson.loads(data)
    user, algorithm, hashed = (str(found.get(name, "")) for name in ("user", "algorithm", "hash"))
    return record_of(user, algorithm, hashed, int(found["revision"]), found)


def credential_of(data: bytes | None) -> int:
    """What sessions and tokens of an account stand on, of its record; 0 where it has none."""
    return 0 if data is None else read_record(data).credential


def digest_in(stored: str) -> bytes:
    """The MD5 or SHA-256 digest that a text is, in hexadecimal digits or base64; else empty."""
    for read in (binascii.unhexlify, read_base64):
        try:
            found = read(stored)
        except (ValueError, binascii.Error):
            continue
        if len(found) in DIGESTS:
            return found
    return b""


def read_base64(text: str) -> bytes:
    """What a base64 text says, with or without its padding; raises ValueError."""
    bare = text.rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)


def build_account_image(dbid: int, account: Object, revision: int) -> bytes:
    """Its record image: {user, dbid, algorithm, hash, revision, …}."""
    reply = frame(orjson.dumps({"user": "", "dbid": dbid, **account, "revision": revision}))
    return assemble_inner(ACCOUNT_CLASS_ID, dbid, revision, NOWHERE, reply, b"")
