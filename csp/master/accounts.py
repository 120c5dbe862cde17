"""Keeps the hashes of secrets beside their objects, and makes the account records of persons.

1. A secret is hashed here, on its way into the rows; it is in no row and in no entry.
2. An account record goes with the change of its person, at the change's revision.
3. An empty secret removes the hash; so does deleting the object.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from csp.master.passwords import Hasher
from csp.master.rows import ChangeRows
from csp.model.accounts import build_account_image
from csp.model.entry import Change
from csp.model.image import build_tombstone
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES, ENVIRONMENT
from csp.rules.transaction import Hashed, Touched, Transaction

PERSON: Final = CLASSES["CfgPerson"]


class Accounts(Protocol):
    """Who knows the hashes as they are."""

    def account(self, class_id: int, dbid: int) -> Hashed | None:
        """The hash that is kept for an object's secret."""


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
            _set(hasher, rows, change, touched, images, revision)
        elif change.cls is PERSON and _renamed(change):
            _rename(accounts, rows, change, images, revision)


def account_image(dbid: int, user: str, hashed: Hashed, revision: int) -> bytes:
    account = {"user": user, "algorithm": hashed.algorithm, "hash": hashed.hash}
    return build_account_image(dbid, account, revision)


def _set(
    hasher: Hasher,
    rows: ChangeRows,
    change: Change,
    touched: Touched,
    images: list[bytes],
    revision: int,
) -> None:
    after = change.after or {}
    secret = touched.secrets.get("password", "")
    rows.accounts_gone.append(_key(change))
    hashed = touched.hashed
    if hashed is None and secret:
        hashed = hasher.hash(secret, after.get("passwordHashAlgorithm"))
    if hashed is not None:
        _row(rows, change, after, hashed, revision)
    if change.cls is PERSON:
        change.account_changed = True
        if hashed is None:
            images.append(_tombstone(change.dbid, revision))
        else:
            images.append(account_image(change.dbid, after["userName"], hashed, revision))


def _remove(
    accounts: Accounts, rows: ChangeRows, change: Change, images: list[bytes], revision: int
) -> None:
    if not change.cls.secrets or accounts.account(change.cls.id, change.dbid) is None:
        return
    rows.accounts_gone.append(_key(change))
    if change.cls is PERSON:
        change.account_changed = True
        images.append(_tombstone(change.dbid, revision))


def _rename(
    accounts: Accounts, rows: ChangeRows, change: Change, images: list[bytes], revision: int
) -> None:
    hashed = accounts.account(change.cls.id, change.dbid)
    if hashed is None or change.after is None:
        return
    rows.accounts_gone.append(_key(change))
    _row(rows, change, change.after, hashed, revision)
    change.account_changed = True
    images.append(account_image(change.dbid, change.after["userName"], hashed, revision))


def _renamed(change: Change) -> bool:
    before, after = change.before, change.after
    return bool(before and after and before["userName"] != after["userName"])


def _row(
    rows: ChangeRows, change: Change, after: dict[str, Any], hashed: Hashed, revision: int
) -> None:
    rows.accounts.append(
        {
            **{"class_id": change.cls.id, "dbid": change.dbid},
            "user_name": after.get("userName", ""),
            "algorithm": hashed.algorithm,
            "hash": hashed.hash,
            "revision": revision,
        }
    )


def _tombstone(dbid: int, revision: int) -> bytes:
    return build_tombstone(ACCOUNT_CLASS_ID, dbid, revision, ENVIRONMENT)


def _key(change: Change) -> dict[str, int]:
    return {"class_id_": change.cls.id, "dbid_": change.dbid}
