"""Gives and takes grants in a transaction, and lets them go with what they name.

1. A grant is to an account that is there when all commands have run; SYSTEM always is.
2. To grant what stands already, or to take what does not, changes nothing.
3. With an object its grants go, and with an account those to it on all objects, which stay as they
   are.  No right on them is needed for that.
4. REPLACE takes the account's grants on all that lies below the object, where that is at the end of
   the transaction; what later commands grant there stays.
5. Change Permissions is needed on each object whose grants a command changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from csp import errors
from csp.model.places import Place
from csp.model.requests import Grant
from csp.model.rights import (
    ACCESS_GROUP,
    CHANGE_PERMISSIONS,
    PERSON,
    SYSTEM,
    Account,
    account_key,
    chain,
)
from csp.model.symbolic import key_of
from csp.model.types import by_id
from csp.rules.forward import Created
from csp.rules.transaction import Granted, Replacement, Transaction

ACCOUNT_CLASSES: Final = frozenset((PERSON.id, ACCESS_GROUP.id))


def run_grant(tx: Transaction, command: Grant, created: Sequence[Created | None]) -> None:
    """CFG.GRANT and CFG.REVOKE."""
    cls = command.cls
    dbid = _number(command.dbid, command.command, cls.id, created)
    key = cls.id, dbid
    if not (tx.exists(*key) and tx.author.reads(key)):
        raise errors.BadKey(f"there is no {cls.name}:{dbid}")
    tx.author.check(CHANGE_PERMISSIONS, key)
    account = command.account
    if account != SYSTEM:
        number = _number(account[1], command.account_command, account[0], created)
        account = account[0], number
    if command.grant is not None and account in tx.deleted:
        raise errors.NoRef(f"{account_key(account)} is deleted before")
    granted = tx.change_grants(key)
    granted.stated[account] = tx.command
    if command.grant is None:
        granted.after.pop(account, None)
    else:
        granted.after[account] = command.grant
    if command.replace:
        tx.replacements.append(Replacement(tx.command, key, account))


def _number(dbid: int, at: int, class_id: int, created: Sequence[Created | None]) -> int:
    """The DBID that a command states, or that the command it names with "@k" creates."""
    if not at:
        return dbid
    new = created[at - 1] if at <= len(created) else None
    if new is None or new.cls.id != class_id:
        raise errors.BadKey(f"@{at}: command {at} creates no {by_id[class_id].name}")
    return new.dbid


def settle_grants(tx: Transaction) -> None:
    """What follows from the commands for all grants, and the rules for those they gave."""
    for replacement in tx.replacements:
        tx.command = replacement.command
        _replace(tx, replacement)
    for touched in tx.deleted.values():
        tx.command = touched.command
        _release(tx, touched.key)
    for granted in tx.granted.values():
        for account, command in granted.stated.items():
            tx.command = command
            if account in granted.after and not _is_known(tx, granted, account):
                text = f"{key_of(granted.key)}: there is no {account_key(account)} to grant it to"
                tx.refuse(errors.NoRef(text))


def _is_known(tx: Transaction, granted: Granted, account: Account) -> bool:
    """Whether an account is there for who grants to it; those of the list show their keys there."""
    if account == SYSTEM:
        return True
    return tx.exists(*account) and (tx.author.reads(account) or account in granted.before.grants)


def _replace(tx: Transaction, replacement: Replacement) -> None:
    command, top, account = replacement
    for key in tx.granted_to(account):
        stated = tx.granted[key].stated if key in tx.granted else {}
        if key == top or stated.get(account, 0) > command or not _is_below(tx, key, top):
            continue
        tx.author.check(CHANGE_PERMISSIONS, key)
        granted = tx.change_grants(key)
        granted.stated[account] = command
        granted.after.pop(account, None)


def _is_below(tx: Transaction, place: Place, top: Place) -> bool:
    return any(at == top for at in chain(tx, place))


def _release(tx: Transaction, key: Place) -> None:
    """A deleted object's grants go, and if it is an account, those to it."""
    if key in tx.granted or tx.published.kept_grants(*key).grants:
        granted = tx.change_grants(key)
        granted.after.clear()
        granted.stated.clear()
    if key[0] not in ACCOUNT_CLASSES:
        return
    for place in tx.granted_to(key):
        granted = tx.change_grants(place)
        granted.after.pop(key, None)
        granted.stated.pop(key, None)
