"""Works out what the deletions of a transaction mean for those that refer to the deleted.

1. An optional reference is cleared, a member of a list removed: these changes come first.
2. A mandatory or immutable reference from what stays refuses the deletion, naming up to NAMED_MAX.
3. A deleted tenant takes its default folders and access groups along.
"""

from __future__ import annotations

from typing import Final

from csp import errors
from csp.rules.complete import ACCESS_GROUP, FOLDER, TENANT, is_default_group
from csp.rules.hidden import named
from csp.rules.references import (
    Found,
    Key,
    Reference,
    clear,
    references_among,
    references_of,
    references_to,
    targets_of,
)
from csp.rules.transaction import Touched, Transaction, class_of

NAMED_MAX: Final = 10
PATHS_MAX: Final = 4  # by so many one object may need another, and more are named all the same


def cascade(tx: Transaction) -> None:
    """Clears what may be cleared; raises InUse for the rest."""
    if not tx.deleted:
        return
    for touched in list(tx.deleted.values()):
        if touched.cls is TENANT:
            tx.command = touched.command
            _delete_furniture(tx, touched)
    for touched in list(tx.deleted.values()):
        tx.command = touched.command
        _release(tx, touched)
    tx.forget_referrers()


def _release(tx: Transaction, deleted: Touched) -> None:
    gone = deleted.key
    _refuse_needed(tx, deleted)
    for key in tx.referrers(gone):
        cls = class_of(key)
        obj = tx.get(cls.name, key[1])
        if obj is None:
            continue
        touched = tx.touched.get(key)
        found = touched.references if touched is not None else None
        if found is None:
            found = references_of(cls, obj)
        references = references_among(found, gone)
        if references:
            _clear(tx, key, references, gone, found)


def _refuse_needed(tx: Transaction, deleted: Touched) -> None:
    """Raises InUse where something that stays needs it; of many only the first are looked at."""
    blocking: dict[Key, str] = {}
    for key, path in tx.needers(deleted.key, NAMED_MAX * PATHS_MAX):
        blocking.setdefault(key, path)
    for key in tx.touched_referrers(deleted.key):
        cls = class_of(key)
        obj = tx.get(cls.name, key[1])
        references = references_to(cls, obj, deleted.key) if obj is not None else []
        needed = [one.path for one in references if one.needed]
        if needed:
            blocking[key] = needed[0]
    if blocking:
        known = [key for key in sorted(blocking) if tx.author.reads(key)]
        told = [f"{named(tx, key)} ({blocking[key]})" for key in known[:NAMED_MAX]]
        told_all = ", ".join(told) or "other objects"
        more = " and others" if told and len(told) < len(blocking) else ""
        raise errors.InUse(f"{deleted.shown} is needed by {told_all}{more}")


def _clear(
    tx: Transaction, key: Key, references: list[Reference], gone: Key, found: list[Found]
) -> None:
    touched = tx.change(class_of(key), key[1])
    assert touched.after is not None
    if touched.after is touched.before:  # no command changed it: all it refers to is there
        touched.references_before = touched.references = found
        tx.note_referrer(key, found)
    if touched.references is not None:
        touched.references = [one for one in found if not _is_to(one, gone)]
    touched.after = clear(touched.after, references, gone)


def _is_to(found: Found, key: Key) -> bool:
    return found.dbid == key[1] and bool(references_among([found], key))


def _delete_furniture(tx: Transaction, tenant: Touched) -> None:
    for class_id, dbid in tx.referrers(tenant.key, (FOLDER.id, ACCESS_GROUP.id)):
        cls = class_of((class_id, dbid))
        obj = tx.get(cls.name, dbid)
        if obj is None:
            continue
        is_root = cls is FOLDER and not obj.get("folderDBID")
        if is_root or (cls is ACCESS_GROUP and is_default_group(obj)):
            touched = tx.change(cls, dbid)
            touched.command = tenant.command
            tx.delete(touched)


def deletion_order(tx: Transaction) -> list[Touched]:
    """The deletions, each after those that refer to it, otherwise as the commands had them."""
    ordered: list[Touched] = []
    seen: set[Key] = set()
    referrers = _referrers_among_deleted(tx)
    for start in tx.deleted:
        stack = [(start, False)]
        while stack:
            key, expanded = stack.pop()
            if expanded:
                ordered.append(tx.deleted[key])
            elif key not in seen:
                seen.add(key)
                stack.append((key, True))
                stack += [(one, False) for one in referrers.get(key, ()) if one not in seen]
    return [one for one in ordered if one.before is not None]


def _referrers_among_deleted(tx: Transaction) -> dict[Key, list[Key]]:
    found: dict[Key, list[Key]] = {}
    if len(tx.deleted) < 2:
        return found
    for key, touched in tx.deleted.items():
        for target in targets_of(touched.cls, touched.before) if touched.before else ():
            if target in tx.deleted and target != key:
                found.setdefault(target, []).append(key)
    return found
