"""Finds a user's Person, account record and rules in the store, as they are now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from csp.model.accounts import AccountRecord, read_record
from csp.model.groups import is_enabled
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES
from csp.process.application import dbid_of
from csp.process.tenants import Tenants
from csp.rules.accounts import AccountRules, rules_of

PERSON = CLASSES["CfgPerson"]
MEMO_COUNT_MAX = 10_000
NO_RULES = AccountRules()


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
    revision: int  # of the change that set the password; a new one ends what stood on it
    is_enabled: bool
    algorithm: str
    hash: str = field(repr=False)
    upgraded: str = field(default="", repr=False)  # a better hash, found at this sign-in
    rules: AccountRules = NO_RULES
    must_change: bool = False  # the password, before anything else
    earlier: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # passwords' hashes
    changed_ms: int = 0  # when the password was set; 0: not known
    login_ms: int = 0  # the last sign-in that all servers know of; 0: none
    locked_ms: int = 0  # until when it is locked at all servers
    tenant: int = 0


class Accounts:
    """Reads accounts, once per user and published revision."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._memo: dict[bytes, Account | None] = {}
        self._memo_revision = -1
        self._tenants = Tenants()

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

    def rules(self, user: bytes) -> AccountRules:
        """The rules for a user's password, whether he has one or not."""
        self.reader.pin()
        try:
            person = self._object(PERSON.id, dbid_of(self.reader, PERSON.name, "user_name", user))
            return NO_RULES if person is None else rules_of(self._tenant, person)
        finally:
            self.reader.unpin()

    def _read(self, user: bytes) -> Account | None:
        dbid = dbid_of(self.reader, PERSON.name, "user_name", user)
        person = self._object(PERSON.id, dbid)
        data = self.reader.raw_get(ACCOUNT_CLASS_ID, dbid) if person is not None else None
        if person is None or data is None:
            return None
        return account_of(person, read_record(data), rules_of(self._tenant, person))

    def _tenant(self, class_name: str, dbid: int) -> dict[str, Any] | None:
        return self._tenants.get(self.reader, class_name, dbid)

    def _object(self, class_id: int, dbid: int) -> dict[str, Any] | None:
        data = self.reader.raw_get(class_id, dbid)
        if data is None:
            return None
        found: dict[str, Any] = orjson.loads(data)
        return found


def account_of(person: dict[str, Any], record: AccountRecord, rules: AccountRules) -> Account:
    """What a sign-in must know, of a Person and its record."""
    return Account(
        dbid=int(person["DBID"]),
        revision=record.credential,
        is_enabled=is_enabled(person),
        algorithm=record.algorithm,
        hash=record.hash,
        rules=rules,
        must_change=person.get("changePasswordOnNextLogin") is True,
        earlier=record.earlier,
        changed_ms=record.changed_ms,
        login_ms=record.login_ms,
        locked_ms=record.locked_ms,
        tenant=int(person.get("tenantDBID") or 0),
    )
