"""Remembers what became of a write that carries an id, so that a lost reply can be asked for.

1. A committed write's id is stored in the write's own database transaction, under its account.
2. Asking for an id that was never seen stores it as rejected: it can never commit after that.
3. The same id with the same command gives the same answer and changes nothing; with another
   command it is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from csp import errors
from csp.master.database import Database
from csp.master.rows import Row
from csp.model.requests import WriteRequest

REJECTED = b'{"rejected":true}'
DIGEST_BYTES = 16
Id = tuple[int, str]  # DBID of the account, what the client chose


class Known(NamedTuple):
    """What is kept of a write with an id."""

    digest: str  # empty: of any command
    revision: int
    results: tuple[int, ...]
    is_rejected: bool = False


class Outcomes:
    """The write ids of one group: those that the database has, and those that come with it."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database = database
        self._key = key
        self._own: dict[Id, Known] = {}

    def answer(self, request: WriteRequest) -> Known | None:
        """The answer that this id's write got before; None if it is new."""
        known = self._find(request)
        if known is None:
            return None
        if known.is_rejected:
            raise errors.BadValue(
                f"ID {request.write_id}: was asked for and answered as rejected, so it can't "
                f"commit any more; use another id"
            )
        if known.digest and known.digest != self._digest(request):
            raise errors.BadValue(
                f"ID {request.write_id}: was given to another command, which is done; "
                f"a new command takes a new id"
            )
        return known

    def remember(
        self, request: WriteRequest, time_ms: int, revision: int, results: Sequence[int]
    ) -> Row:
        """The row that makes a write's answer repeatable, once it is committed."""
        digest = self._digest(request)
        self._own[_id_of(request)] = Known(digest, revision, tuple(results))
        result = orjson.dumps({"revision": revision, "results": list(results)}).decode()
        return _row(request, digest, time_ms, result)

    def ask(self, request: WriteRequest, time_ms: int) -> tuple[str, Row | None]:
        """`committed <revision>` or `rejected`, and the row that makes it so for good."""
        known = self._find(request)
        if known is not None:
            return "rejected" if known.is_rejected else f"committed {known.revision}", None
        self._own[_id_of(request)] = Known("", 0, (), is_rejected=True)
        return "rejected", _row(request, "", time_ms, REJECTED.decode())

    def _find(self, request: WriteRequest) -> Known | None:
        own = self._own.get(_id_of(request))
        if own is not None:
            return own
        kept = self._database.write_known(*_id_of(request))
        if kept is None:
            return None
        digest, text = kept
        result = orjson.loads(text)
        if "rejected" in result:
            return Known(digest, 0, (), is_rejected=True)
        return Known(digest, result["revision"], tuple(result["results"]))

    def _digest(self, request: WriteRequest) -> str:
        """Of the command's words as they were sent."""
        digest = hashlib.blake2b(key=self._key, digest_size=DIGEST_BYTES)
        for words in request.sent:
            digest.update(b"%d\n" % len(words))
            for word in words:
                digest.update(b"%d\n" % len(word) + word)
        return digest.hexdigest()


def _id_of(request: WriteRequest) -> Id:
    return request.principal.account_dbid, request.write_id


def _row(request: WriteRequest, digest: str, time_ms: int, result: str) -> Row:
    return {
        **{"account": request.principal.account_dbid, "id": request.write_id},
        **{"digest": digest, "time_ms": time_ms, "result": result},
    }
