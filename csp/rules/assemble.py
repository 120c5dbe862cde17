"""Applies a transaction's commands to its objects, then checks all that they touched.

1. Commands run in order; rules that look at other objects run when all commands have run.
2. `tx.command` is always the command that an error belongs to.
3. Secrets leave the objects when they are read; only `Touched.secrets` holds them. Options that are
   secret are sealed then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from csp import errors
from csp.model.delta import apply_delta
from csp.model.extract import Object as JsonObject
from csp.model.objects import check_object
from csp.model.requests import Command, Create, Delete, Expect, Grant, Password, Skip, Update
from csp.model.rights import DELETE, UPDATE
from csp.model.sealing import seal_object
from csp.model.types import CLASSES, ObjectClass
from csp.rules.accounts import rules_of
from csp.rules.administrators import check_administrators
from csp.rules.cascade import cascade
from csp.rules.complete import FORCED, TENANT, add_tenant_furniture, fill_in
from csp.rules.default_grants import add_default_grants, join_users
from csp.rules.forward import Created
from csp.rules.grants import run_grant, settle_grants
from csp.rules.objects import RULES, check_deletable, check_fixed, check_folder
from csp.rules.references import references_of, targets_of
from csp.rules.states import hand_down_states, note_state
from csp.rules.there import check_references
from csp.rules.transaction import Hashed, Touched, Transaction

PERSON: Final = CLASSES["CfgPerson"]
GIVEN_BY_SERVER: Final = ("DBID", "revision")


def assemble(
    tx: Transaction,
    commands: Sequence[Command],
    created: Sequence[Created | None],
    head_revision: int,
) -> None:
    """Runs the commands; raises the first error, with `tx.command` saying whose it is."""
    for command in commands:
        if isinstance(command, Expect):
            _expect(tx, command)
    for number, command in enumerate(commands, 1):
        tx.command = number
        try:
            _run(tx, command, number, created, head_revision)
        except errors.CspError as error:
            tx.refuse(error)
    finish(tx)
    tx.command = 0


def _run(
    tx: Transaction,
    command: Command,
    number: int,
    created: Sequence[Created | None],
    head_revision: int,
) -> None:
    if isinstance(command, Create):
        new = created[number - 1]
        assert new is not None
        _create(tx, command, new.dbid)
    elif isinstance(command, Update):
        _update(tx, command, _dbid(command, created), head_revision)
    elif isinstance(command, Delete):
        _delete(tx, command, _dbid(command, created), head_revision)
    elif isinstance(command, Password):
        _password(tx, command, head_revision)
    elif isinstance(command, Grant):
        run_grant(tx, command, created)
    else:
        assert isinstance(command, Skip | Expect)


def finish(tx: Transaction) -> None:
    """What follows from the commands, and the rules for all that they touched."""
    for touched in [one for one in tx.touched.values() if one.cls is TENANT]:
        if touched.before is None and touched.after is not None:
            tx.command = touched.command
            add_tenant_furniture(tx, touched)
            add_default_grants(tx, touched.dbid)
    for touched in list(tx.changes()):
        tx.command = touched.command
        try:
            fill_in(tx, touched)
        except errors.CspError as error:
            tx.refuse(error)
    if tx.gives_default_access:
        _give_default_access(tx)
    hand_down_states(tx)
    cascade(tx)
    settle_grants(tx)
    for touched in tx.changes():
        tx.command = touched.command
        try:
            _check(tx, touched)
        except errors.CspError as error:
            tx.refuse(error)
    check_administrators(tx)


def _give_default_access(tx: Transaction) -> None:
    for touched in list(tx.changes()):
        if touched.cls is PERSON and touched.before is None:
            tx.command = touched.command
            join_users(tx, touched)
    tx.forget_referrers()


def _check(tx: Transaction, touched: Touched) -> None:
    obj = touched.after
    assert obj is not None
    if touched.before is not None:
        if touched.before == obj and not touched.has_secret:
            return
        check_fixed(tx, touched, obj)
    check_references(tx, touched, obj)
    check_folder(tx, touched, obj)
    tx.author.check_place(touched)
    for rule in RULES.get(touched.cls.name, ()):
        rule(tx, touched, obj)


# -- commands ----------------------------------------------------------------------------------


def _dbid(command: Update | Delete, created: Sequence[Created | None]) -> int:
    """The DBID that a command states, or that the command it names with "@k" creates."""
    at = command.command
    if not at:
        return command.dbid
    new = created[at - 1] if at <= len(created) else None
    if new is None or new.cls is not command.cls:
        raise errors.BadKey(f"@{at}: command {at} creates no {command.cls.name}")
    return new.dbid


def _create(tx: Transaction, command: Create, dbid: int) -> None:
    cls, obj = command.cls, command.object
    for name in GIVEN_BY_SERVER:
        if name in obj:
            raise errors.BadValue(f"{cls.name} {name}: is given by the server")
    checked = check_object(cls, obj)
    _refuse_deleted(tx, cls, checked.object, None)
    touched = tx.create(cls, dbid, seal_object(tx.sealer, cls, dbid, checked.object))
    tx.author.creates(touched.key)
    touched.secrets.update(checked.secrets)


def _update(tx: Transaction, command: Update, dbid: int, head_revision: int) -> None:
    cls = command.cls
    obj = _present(tx, cls, dbid, command.if_revision, head_revision)
    tx.author.check(UPDATE, (cls.id, dbid))
    touched = tx.change(cls, dbid)
    applied = apply_delta(cls, obj, command.delta)
    _refuse_deleted(tx, cls, applied.object, obj)
    touched.after = seal_object(tx.sealer, cls, dbid, applied.object)
    touched.secrets.update(applied.secrets)
    note_state(tx, touched, obj, command.delta)


def _delete(tx: Transaction, command: Delete, dbid: int, head_revision: int) -> None:
    _present(tx, command.cls, dbid, command.if_revision, head_revision)
    tx.author.check(DELETE, (command.cls.id, dbid))
    touched = tx.change(command.cls, dbid)
    check_deletable(touched)
    touched.command = tx.command
    tx.delete(touched)


def _password(tx: Transaction, command: Password, head_revision: int) -> None:
    if not tx.author.is_person(command.dbid):  # one's own takes no right, not even to see oneself
        _present(tx, PERSON, command.dbid, None, head_revision)
        tx.author.check(UPDATE, (PERSON.id, command.dbid))
    if command.account_revision not in (0, tx.published.account_revision(command.dbid)):
        raise errors.Conflict(f"{PERSON.name}:{command.dbid}: the password was changed meanwhile")
    touched = tx.change(PERSON, command.dbid)
    touched.hashed = Hashed(command.algorithm, command.hash)
    person = touched.after
    assert person is not None
    if command.account_revision and person.get(FORCED):
        touched.after = {**person, FORCED: False}  # he has changed it himself
    elif not command.account_revision and rules_of(tx.get, person).reset_first:
        touched.after = {**person, FORCED: True}


def _refuse_deleted(
    tx: Transaction, cls: ObjectClass, obj: JsonObject, before: JsonObject | None
) -> None:
    """A command may not refer anew to what an earlier one deleted: that is no cascade."""
    if not tx.deleted:
        return
    old = set(targets_of(cls, before)) if before is not None else set()
    for site, class_name, dbid in references_of(cls, obj):
        key = (CLASSES[class_name].id, dbid) if class_name else None
        if key in tx.deleted and key not in old:
            raise errors.NoRef(f"{cls.name} {site.path}: {class_name}:{dbid} is deleted before")


def _expect(tx: Transaction, command: Expect) -> None:
    """A watched object that has moved; the worker knows the answer to this by its first words."""
    obj = _seen(tx, command.cls, command.dbid)
    if (obj.get("revision", 0) if obj else 0) != command.revision:
        raise errors.Conflict(f"watched {command.cls.name}:{command.dbid} has changed")


def _present(
    tx: Transaction, cls: ObjectClass, dbid: int, if_revision: int | None, head_revision: int
) -> JsonObject:
    """The object, which must exist and be no newer than the writer of the command thinks."""
    if if_revision is not None and if_revision > head_revision:
        raise errors.BadValue(f"IF {if_revision}: this master is at revision {head_revision}")
    obj = _seen(tx, cls, dbid)
    if obj is None:
        if if_revision is not None:
            raise errors.Conflict(f"{cls.name}:{dbid} is gone")
        raise errors.BadKey(f"there is no {cls.name}:{dbid}")
    if if_revision is not None and obj.get("revision", 0) > if_revision:
        raise errors.Conflict(
            f"{cls.name}:{dbid} is at revision {obj['revision']}, newer than {if_revision}"
        )
    return obj


def _seen(tx: Transaction, cls: ObjectClass, dbid: int) -> JsonObject | None:
    """The object as it will be; None also where its author may not read it."""
    return tx.get(cls.name, dbid) if tx.author.reads((cls.id, dbid)) else None
