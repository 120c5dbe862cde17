"""Hands a changed state down to the children of an object, and to theirs, in the same transaction.

1. Children are what lies in a folder or belongs to a container (see objects.toml), where it is at
   the end of the transaction; afterwards they all have the state of their parent.
2. Only a change of state is handed down: stating the state that an object has does nothing.
3. Of several commands the last one counts: a child whose own state is stated after its parent's
   keeps it.  What the transaction creates keeps the state that it was created with.
4. Built-in objects keep theirs: with the first account disabled nobody could sign in to undo it.
5. Who may not change one of those whose state would change changes none of them (T27).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from csp.model.extract import Object as JsonObject
from csp.model.extract import value_at
from csp.model.groups import ENABLED
from csp.model.types import ObjectClass
from csp.rules.references import FOLDER_PATH, Key, references_to
from csp.rules.transaction import Touched, Transaction, class_of

GROUP_PATH: Final = "groupInfo.state"


def note_state(tx: Transaction, touched: Touched, before: JsonObject, delta: Any) -> None:
    """Remembers that a command stated an object's state, and whether that changed it."""
    path = _path(touched.cls)
    if _is_stated(delta, path):
        assert touched.after is not None
        changes = _state(before, path) != _state(touched.after, path)
        # The latest statement of an object stands last.
        changed_before = tx.stated.pop(touched.key, False)
        tx.stated[touched.key] = changes or changed_before


def hand_down_states(tx: Transaction) -> None:
    """Gives the children of every object whose state was changed the same state."""
    if not any(tx.stated.values()):
        return
    settled: set[Key] = set()
    for key, is_changed in reversed(tx.stated.items()):
        if key in settled:
            continue  # a later command changed what it lies in
        settled.add(key)
        touched = tx.touched[key]
        if is_changed and touched.after is not None:
            tx.command = touched.command
            _hand_down(tx, key, _state(touched.after, _path(touched.cls)), settled)
    tx.forget_referrers()


def _hand_down(tx: Transaction, start: Key, state: str, settled: set[Key]) -> None:
    parents = [start]
    while parents:
        for key in _children(tx, parents.pop()):
            if key not in settled:
                settled.add(key)
                parents.append(key)
                _set_state(tx, key, state, start)


def _children(tx: Transaction, parent: Key) -> Iterator[Key]:
    if not class_of(parent).is_container:
        return
    for key in tx.referrers(parent):
        cls = class_of(key)
        obj = tx.get(cls.name, key[1])
        if obj is None or key[1] in cls.builtin or _is_created(tx, key):
            continue
        paths = {one.path for one in references_to(cls, obj, parent)}
        if not paths.isdisjoint((FOLDER_PATH, *cls.parents)):
            yield key


def _is_created(tx: Transaction, key: Key) -> bool:
    touched = tx.touched.get(key)
    return touched is not None and touched.before is None


def _set_state(tx: Transaction, key: Key, state: str, start: Key) -> None:
    cls = class_of(key)
    obj, path = tx.get(cls.name, key[1]), _path(cls)
    if obj is None or _state(obj, path) == state:
        return
    tx.author.check_child(key, start)
    touched = tx.change(cls, key[1])
    part, _, name = path.rpartition(".")
    touched.after = {**obj, part: {**obj[part], name: state}} if part else {**obj, name: state}


def _path(cls: ObjectClass) -> str:
    return GROUP_PATH if cls.attribute(GROUP_PATH) else "state"


def _state(obj: JsonObject, path: str) -> str:
    return value_at(obj, path) or ENABLED


def _is_stated(delta: Any, path: str) -> bool:
    changed = delta.get("changed", {})
    return path in changed or value_at(changed, path) is not None
