"""Finds a user's Person and account record in the store, as they are now."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import orjson

from csp.model.types import ACCOUNT_CLASS_ID, CLASSES
from csp.process.application import dbid_of

PERSON = CLASSES["CfgPerson"]
MEMO_COUNT_MAX = 10_000


class Reader(Protocol):
    """What is asked of `csp._fastpath.StoreReader`."""

    published: int

    def pin(self) -> int: ...
    def unpin(self) -> None: ...
    def find(self, key_id: int, value: bytes) -> list[int]: ...
    def get(self, class_id: int, dbid: int) -> bytes | None: ...
    def raw_get(self, class_id: int, dbid: int) -> bytes | None: ...


@dataclass(frozen=True)
class Account:
    """What a sign-in must know of a user."""

    dbid: int  # of the Person
    revision: int  # of the account record; a new one makes remembered sign-ins worthless
    is_enabled: bool
    algorithm: str
    hash: str = field(repr=False)
    upgraded: str = field(default="", repr=False)  # a better hash, found at this sign-in

    def shown(self, user: bytes) -> bytes:
        """What the asking worker is told, as JSON."""
        return _shown(user, self.dbid, self.revision)


@lru_cache(maxsize=MEMO_COUNT_MAX)
def _shown(user: bytes, dbid: int, revision: int) -> bytes:
    return orjson.dumps({"user": user.decode(), "dbid": dbid, "revision": revision})


class Accounts:
    """Reads accounts, once per user and published revision."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._memo: dict[bytes, Account | None] = {}
        self._memo_revision = -1

    def find(self, user: bytes) -> Account | None:
        """The account of a user name; None if there is none or it has no password."""
        published = self.reader.pin()
        try:
            if published != self._memo_revision or len(self._memo) >= MEMO_COUNT_MAX:
                self._memo.clear()
                self._memo_revision = published
            if user not in self._memo:
                self._memo[user] = self._read(user)
            return self._memo[user]
        finally:
            self.reader.unpin()

    def _read(self, user: bytes) -> Account | None:
        dbid = dbid_of(self.reader, PERSON.name, "user_name", user)
        person = self._object(PERSON.id, dbid)
        record = self._object(ACCOUNT_CLASS_ID, dbid)
        if person is None or record is None:
            return None
        return Account(
            dbid=dbid,
            revision=int(record["revision"]),
            is_enabled=person.get("state", "enabled") == "enabled",
            algorithm=str(record["algorithm"]),
            hash=str(record["hash"]),
        )

    def _object(self, class_id: int, dbid: int) -> dict[str, Any] | None:
        data = self.reader.raw_get(class_id, dbid)
        if data is None:
            return None
        found: dict[str, Any] = orjson.loads(data)
        return found
