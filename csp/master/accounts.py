"""Keeps the hashes of secrets beside their objects, and makes the account records of persons.

1. A secret is hashed here, on its way into the rows; it is in no row and in no entry.
2. An account record goes with the change of its person, at the change's revision.
3. An empty secret removes the hash; so does deleting the object.
4. With an account's password go its lock and the count of its age; its last sign-in stays, and so
   do as many hashes as the rules want not to come back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Protocol

from csp.master.passwords import Hasher
from csp.master.rows import ChangeRows
from csp.model.accounts import AccountRecord, digest_in
from csp.model.entry import Change
from csp.model.image import build_tombstone
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES, ENVIRONMENT
from csp.rules.accounts import rules_of
from csp.rules.transaction import Hashed, Touched, Transaction

PERSON: Final = CLASSES["CfgPerson"]
ALGORITHM: Final = "passwordHashAlgorithm"
SECOND_MS: Final = 1_000


class Accounts(Protocol):
    """Who knows the records as they are."""

    def account(self, class_id: int, dbid: int) -> AccountRecord | None:
        """The record that is kept for an object's secret."""


def account_changes(
    tx: Transaction,
    accounts: Accounts,
    hasher: Hasher,
    rows: ChangeRows,
    changes: list[Change],
    images: list[bytes],
    revision: int,
) -> None:
    """Adds rows and account records for all changes that concern a secret."""
    for change in changes:
        touched = tx.touched[change.cls.id, change.dbid]
        if change.op == "delete":
            _remove(accounts, rows, change, images, revision)
        elif touched.has_secret:
            before = accounts.account(change.cls.id, change.dbid) if change.before else None
            hashed = _hashed(hasher, touched)
            record = None if hashed is None else _made(tx, rows, change, hashed, before)
            _put(rows, change, record, images)
        elif change.cls is PERSON and _renamed(change):
            found = accounts.account(change.cls.id, change.dbid)
            if found is not None and change.after is not None:
                user = str(change.after["userName"])
                _put(rows, change, replace(found, user=user, revision=revision), images)


def put_record(rows: ChangeRows, dbid: int, record: AccountRecord) -> None:
    """The row of a person's record, in the place of the one that is there."""
    _row(rows, PERSON.id, dbid, record)


def _hashed(hasher: Hasher, touched: Touched) -> Hashed | None:
    """What is kept of the secret; None where it is taken away."""
    secret = touched.secrets.get("password", "")
    if touched.hashed is not None or not secret:
        return touched.hashed
    return hasher.hash(secret, _algorithm(touched, secret))


def _algorithm(touched: Touched, secret: str) -> str | int | None:
    """The algorithm of a secret that is a hash already; a person who came with one may later get
    a password like anybody else.
    """
    after, before = touched.after or {}, touched.before
    found: str | int | None = after.get(ALGORITHM)
    is_stated = before is None or before.get(ALGORITHM) != found
    return found if is_stated or digest_in(secret) else None


def _made(
    tx: Transaction,
    rows: ChangeRows,
    change: Change,
    hashed: Hashed,
    before: AccountRecord | None,
) -> AccountRecord:
    """The record with a new password."""
    after = change.after or {}
    is_person = change.cls is PERSON
    kept = rules_of(tx.get, after).no_repeats - 1 if is_person and before is not None else 0
    old = () if before is None else ((before.algorithm, before.hash), *before.earlier)
    stated_s = int(after.get("passwordUpdatingDate") or 0) if before is None else 0
    is_foreign = hashed.algorithm.startswith("imported-")
    return AccountRecord(
        user=str(after.get("userName", "")),
        algorithm=hashed.algorithm,
        hash=hashed.hash,
        revision=rows.revision,
        credential=rows.revision,
        changed_ms=stated_s * SECOND_MS if is_foreign and stated_s > 0 else rows.time_ms,
        earlier=old[: max(kept, 0)],
        login_ms=0 if before is None else before.login_ms,
    )


def _put(
    rows: ChangeRows, change: Change, record: AccountRecord | None, images: list[bytes]
) -> None:
    if record is None:
        rows.accounts_gone.append({"class_id_": change.cls.id, "dbid_": change.dbid})
    else:
        _row(rows, change.cls.id, change.dbid, record)
    if change.cls is PERSON:
        change.account_changed = True
        images.append(
            _tombstone(change.dbid, rows.revision) if record is None else record.image(change.dbid)
        )


def _remove(
    accounts: Accounts, rows: ChangeRows, change: Change, images: list[bytes], revision: int
) -> None:
    if not change.cls.secrets or accounts.account(change.cls.id, change.dbid) is None:
        return
    rows.accounts_gone.append({"class_id_": change.cls.id, "dbid_": change.dbid})
    if change.cls is PERSON:
        change.account_changed = True
        images.append(_tombstone(change.dbid, revision))


def _renamed(change: Change) -> bool:
    before, after = change.before, change.after
    return bool(before and after and before["userName"] != after["userName"])


def _row(rows: ChangeRows, class_id: int, dbid: int, record: AccountRecord) -> None:
    rows.accounts_gone.append({"class_id_": class_id, "dbid_": dbid})
    row: dict[str, Any] = {
        "class_id": class_id,
        "dbid": dbid,
        "user_name": record.user,
        "algorithm": record.algorithm,
        "hash": record.hash,
        "revision": record.revision,
        "facts": record.facts(),
    }
    rows.accounts.append(row)


def _tombstone(dbid: int, revision: int) -> bytes:
    return build_tombstone(ACCOUNT_CLASS_ID, dbid, revision, ENVIRONMENT)
