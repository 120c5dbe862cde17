"""Finds a user's Person, account record and rules in the store, as they are now.

1. Whose password a directory keeps needs no account record, and none of csp's rules for passwords,
   locks and idle accounts holds for him; how many sessions he may have does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from csp.external.settings import NO_SEALER, Level, Problem, SignIn, sign_in_of
from csp.model.accounts import AccountRecord, credential_of, read_record
from csp.model.groups import is_enabled
from csp.model.keys import KEYS
from csp.model.sealing import Sealer
from csp.model.token_keys import KEYS_DBID, read_sealing
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES, ENVIRONMENT
from csp.process.application import dbid_of
from csp.process.tenants import Tenants
from csp.rules.accounts import DEFAULT_ACCOUNT, AccountRules, is_certificate_only, rules_of

PERSON = CLASSES["CfgPerson"]
TENANT = CLASSES["CfgTenant"]
MEMO_COUNT_MAX = 10_000
NO_RULES = AccountRules()
NO_RECORD = AccountRecord("", "", "", 0, 0)  # of an account that has no password
EXTERNAL_ID = KEYS[PERSON.name, "external_id"].key_id
OWN = SignIn()  # by a password that csp keeps


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
    sign_in: SignIn = OWN
    certificate_only: bool = False  # no password signs it in

    def is_still(self, now: Account | None) -> bool:
        """Whether what was found out of it holds for the account as it is now."""
        return now is not None and (
            (now.dbid, now.revision, now.is_enabled, now.sign_in)
            == (self.dbid, self.revision, self.is_enabled, self.sign_in)
        )


class Accounts:
    """Reads accounts, once per user and published revision."""

    def __init__(
        self, reader: Reader, server: Level, tell: Callable[[Problem], None] = lambda _: None
    ) -> None:
        """`server`: what this server's Application states; `tell` hears what is wrong there, or in
        an annex.
        """
        self.reader = reader
        self._server = server
        self._tell = tell
        self._keys: bytes | None = None
        self._opener: Sealer = NO_SEALER
        self._memo: dict[bytes, Account | None] = {}
        self._memo_revision = -1
        self._tenants = Tenants()

    def find(self, user: bytes) -> Account | None:
        """The account of a user name; None if there is none, or no password to sign in with."""
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

    def by_certificate(self, user: bytes) -> Account | None:
        """The account of a user name, whether it has a password or not."""
        self.reader.pin()
        try:
            return self._read(user, may_lack_password=True)
        finally:
            self.reader.unpin()

    def by_principal(self, principal: str) -> tuple[bytes, Account | None]:
        """The account of a Kerberos principal, whether it has a password or not, and its user name;
        the principal where it is nobody's.

        It is the person whose External ID is all of it, else the one whose user name stands before
        the realm; two with that External ID are nobody. `default` has to be named by the first: a
        realm in which somebody may be called that would have an administrator here.
        """
        self.reader.pin()
        try:
            user = self._user_of(principal).encode()
            account = self._read(user, may_lack_password=True) if user else None
            return user if account is not None else principal.encode(), account
        finally:
            self.reader.unpin()

    def _user_of(self, principal: str) -> str:
        dbids = self.reader.find(EXTERNAL_ID, principal.encode())
        if dbids:
            person = self._object(PERSON.id, dbids[0])
            return str(person["userName"]) if person is not None and len(dbids) == 1 else ""
        name = principal.rpartition("@")[0]
        dbid = dbid_of(self.reader, PERSON.name, "user_name", name.encode())
        return name if name and dbid != DEFAULT_ACCOUNT else ""

    def rules(self, user: bytes) -> AccountRules:
        """The rules for a user's password, whether he has one or not."""
        self.reader.pin()
        try:
            person = self._object(PERSON.id, dbid_of(self.reader, PERSON.name, "user_name", user))
            return NO_RULES if person is None else rules_of(self._tenant, person)
        finally:
            self.reader.unpin()

    def _read(self, user: bytes, *, may_lack_password: bool = False) -> Account | None:
        dbid = dbid_of(self.reader, PERSON.name, "user_name", user)
        person = self._object(PERSON.id, dbid)
        if person is None:
            return None
        data = self.reader.raw_get(ACCOUNT_CLASS_ID, dbid)
        tenant = self._tenant(TENANT.name, int(person.get("tenantDBID") or ENVIRONMENT))
        sign_in = sign_in_of(person, tenant, self._server, self._sealer())
        for problem in sign_in.problems:
            self._tell(problem)
        rules = rules_of(self._tenant, person)
        if sign_in.is_external:
            return external_account(person, credential_of(data), rules, sign_in)
        if data is None and not may_lack_password:
            return None
        return account_of(person, read_record(data) if data is not None else NO_RECORD, rules)

    def _sealer(self) -> Sealer:
        """What opens secret options, by the key that the master has given its servers."""
        record = self.reader.raw_get(ACCOUNT_CLASS_ID, KEYS_DBID)
        if record != self._keys:
            self._keys = record
            key = read_sealing(record)
            self._opener = NO_SEALER if key is None else Sealer(key)
        return self._opener

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
        certificate_only=is_certificate_only(person),
    )


def external_account(
    person: dict[str, Any], revision: int, rules: AccountRules, sign_in: SignIn
) -> Account:
    """What a sign-in must know of a Person whose password a directory keeps."""
    return Account(
        dbid=int(person["DBID"]),
        revision=revision,
        is_enabled=is_enabled(person),
        algorithm="",
        hash="",
        rules=AccountRules(sessions=rules.sessions),
        tenant=int(person.get("tenantDBID") or 0),
        sign_in=sign_in,
        certificate_only=is_certificate_only(person),
    )
