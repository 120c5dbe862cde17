"""Builds what a finished transaction leaves: database rows, log entry, account records.

1. Changes stand in the order of the commands, deletions last, each after what referred to it.
2. An object that ends as it began is left out; a transaction without changes builds nothing.
3. Names are checked against each other here and against all others by the database.
4. A record says whether its object has grants of its own: the first grant builds the object anew;
   the last one that goes leaves it as it is, until it is built for another reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from csp.master.accounts import Accounts, account_changes
from csp.master.granting import Images, grants_changes, has_own, touch_granted
from csp.master.history import details_of
from csp.master.passwords import Hasher
from csp.master.rows import ChangeRows, Row
from csp.model.entry import Change, build_entry
from csp.model.extract import Lookup
from csp.model.extract import Object as JsonObject
from csp.model.grants import GrantsChange, has_own_grants
from csp.model.history import Line
from csp.model.image import build_image, has_same_keys, json_of, keys_in
from csp.model.places import OWN_GRANTS, container_of, folder_of, tenant_of
from csp.model.symbolic import key_of
from csp.model.types import ObjectClass, by_id
from csp.rules.cascade import deletion_order
from csp.rules.complete import TENANT
from csp.rules.names import Taken, names_of, naming
from csp.rules.references import references_of, referring, rows_of
from csp.rules.transaction import Touched, Transaction


@dataclass(slots=True)
class Built:
    """One transaction, ready for the database and for the store."""

    rows: ChangeRows
    entry: bytes = b""
    accounts: list[bytes] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)  # of the changes, empty for a deletion
    granted: list[GrantsChange] = field(default_factory=list)


def build(
    tx: Transaction,
    accounts: Accounts,
    hasher: Hasher,
    actor: Mapping[str, Any],
    revision: int,
    prev_mark: int,
    time_ms: int,
    published: Images | None = None,
) -> Built | None:
    """The transaction as rows and bytes; None if it changes nothing."""
    built = Built(ChangeRows(revision, 0, time_ms))
    rows = built.rows
    changes = built.changes
    images = built.images
    names = Taken()
    touch_granted(tx, published)
    for touched in tx.changes():
        assert touched.after is not None
        was = published.image(*touched.key) if published is not None and touched.before else None
        had_own = was is not None and has_own_grants(was)
        own = has_own(tx, touched, had_own)
        is_same = touched.before is not None and touched.before == touched.after
        if is_same and not touched.has_secret and (had_own or not own):
            continue
        keys = _same_keys(touched, was)
        image = build_image(touched.cls, touched.after, revision, tx, keys, own=own)
        _object_rows(tx, rows, touched, image, own=own)
        _name_rows(tx, rows, touched, names)
        _ref_rows(rows, touched)
        op = "create" if touched.before is None else "update"
        change = Change(op, touched.cls, touched.dbid, touched.before, touched.after)
        change.own = had_own, own
        changes.append(change)
        images.append(image)
    kept = len(changes)
    for touched in deletion_order(tx):
        _deletion_rows(rows, touched)
        was = published.image(*touched.key) if published is not None else None
        change = Change("delete", touched.cls, touched.dbid, touched.before)
        change.own = was is not None and has_own_grants(was), False
        changes.append(change)
        images.append(b"")
    built.granted, grants = grants_changes(tx, rows, revision)
    if not changes and not built.granted:
        return None
    account_changes(tx, accounts, hasher, rows, changes, built.accounts, revision)
    rows.counters = counter_rows(tx)
    items: list[Change | GrantsChange] = [*changes[:kept], *built.granted, *changes[kept:]]
    item_images = [*images[:kept], *grants, *images[kept:]]
    built.entry = build_entry(revision, prev_mark, time_ms, actor, items, item_images, 0, tx)
    rows.take_entry(built.entry)
    _history_rows(rows, items, actor, built.entry, tx)
    return built


def _same_keys(touched: Touched, was: bytes | None) -> bytes | None:
    """The index keys that the object has, where the change leaves them as they are."""
    before, after = touched.before, touched.after
    if was is None or before is None or after is None:
        return None
    return keys_in(was) if has_same_keys(touched.cls, before, after) else None


def counter_rows(tx: Transaction) -> list[Row]:
    """The next number of each class that the transaction took numbers of."""
    return [{"class_id_": one, "next_dbid": at} for one, at in tx.given.items()]


def body_of(cls: ObjectClass, dbid: int, revision: int, json: bytes) -> str:
    """The JSON without class, DBID and revision, which the row has in columns."""
    start = b'{"class":"%b","DBID":%d,"revision":%d' % (cls.name.encode(), dbid, revision)
    if not json.startswith(start):
        raise ValueError(f"{cls.name}:{dbid}: its JSON does not begin with class, DBID, revision")
    return "{" + json[len(start) :].removeprefix(b",").decode()


def object_of(cls: ObjectClass, dbid: int, revision: int, body: str) -> JsonObject:
    """The object that a row holds."""
    obj: JsonObject = {"class": cls.name, "DBID": dbid, "revision": revision}
    obj.update(orjson.loads(body))
    return obj


def _object_rows(
    tx: Transaction, rows: ChangeRows, touched: Touched, image: bytes, *, own: bool
) -> None:
    assert touched.after is not None
    row: Row = {
        "tenant": tenant_of(touched.cls, touched.after, tx),
        "folder": folder_of(touched.cls, touched.after, tx),
        "revision": rows.revision,
        "body": body_of(touched.cls, touched.dbid, rows.revision, json_of(image)),
        "flags": OWN_GRANTS if own else 0,
    }
    if touched.before is None:
        row["class_id"], row["dbid"] = touched.cls.id, touched.dbid
        rows.created.append(row)
    else:
        row["class_id_"], row["dbid_"] = touched.cls.id, touched.dbid
        rows.updated.append(row)


def _name_rows(tx: Transaction, rows: ChangeRows, touched: Touched, taken: Taken) -> None:
    assert touched.after is not None
    if not touched.differs_in(naming(touched.cls)):
        return
    names = names_of(touched.cls, touched.after)
    taken.take(tx, touched, names)
    if touched.before is not None:
        if names == names_of(touched.cls, touched.before):
            return
        rows.names_gone.append(_key_row(touched))
    dbid = touched.dbid
    rows.names += [
        {"class_id": one.class_id, "rule": one.rule, "scope": one.scope, "value": one.value,
         "dbid": dbid}
        for one in names
    ]  # fmt: skip


def _ref_rows(rows: ChangeRows, touched: Touched) -> None:
    assert touched.after is not None
    if not touched.differs_in(referring(touched.cls)):
        return
    references = touched.references
    if references is None:  # what the database never checked, as the first transaction
        references = references_of(touched.cls, touched.after)
    refs = rows_of(references)
    if touched.before is None:
        rows.refs += _ref_rows_of(touched, refs)
        return
    found = touched.references_before
    if found is None:
        found = references_of(touched.cls, touched.before)
    before = rows_of(found)
    if refs != before:
        rows.refs_cut += _ref_rows_of(touched, before - refs)
        rows.refs += _ref_rows_of(touched, refs - before)


def _ref_rows_of(touched: Touched, refs: Iterable[tuple[str, int, int]]) -> list[Row]:
    class_id, dbid = touched.key
    return [
        {"from_class": class_id, "from_dbid": dbid, "path": path, "to_class": to_class,
         "to_dbid": to_dbid}
        for path, to_class, to_dbid in refs
    ]  # fmt: skip


def _deletion_rows(rows: ChangeRows, touched: Touched) -> None:
    key = _key_row(touched)
    rows.deleted.append(key)
    rows.names_gone.append(key)
    rows.refs_gone.append(key)


def _key_row(touched: Touched) -> Row:
    return {"class_id_": touched.cls.id, "dbid_": touched.dbid}


def _history_rows(
    rows: ChangeRows,
    items: list[Change | GrantsChange],
    actor: Mapping[str, Any],
    entry: bytes,
    look: Lookup,
) -> None:
    record = {
        **rows.place,
        "actor": orjson.dumps(actor).decode(),
        "write_id": "",
        "changes": orjson.dumps([one for item in items for one in _lines(item, look)]).decode(),
        "details": details_of(entry),
    }
    rows.history = [record]


def _lines(item: Change | GrantsChange, look: Lookup) -> Iterator[Line]:
    """As the history finds it: what was done to which object, of what is gone also where it lay."""
    if isinstance(item, Change):
        line: Line = [item.op, item.cls.name, item.dbid]
        had_own = item.own[0] or item.cls is TENANT
        if item.op == "delete" and item.before is not None and not had_own:
            line.append(key_of(container_of(item.cls, item.before, look)))
        yield line
    elif item.is_told:
        yield ["grant", by_id[item.place[0]].name, item.place[1]]
