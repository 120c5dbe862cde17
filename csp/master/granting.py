"""Makes the rows and log items of a transaction's grants, and says which records carry their mark.

1. A list that ends as it began is left out; all others are written whole.
2. An object that gets its first grants is built anew, so that its record says that it has some; a
   tenant's object needs no mark, it governs itself anyhow.
3. With a deleted object its grants go; to tell that it is deleted says it all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from csp.master.rows import ChangeRows
from csp.model.grants import GrantsChange, build_grants, has_own_grants
from csp.model.types import GRANTS_CLASS_ID
from csp.rules.complete import TENANT
from csp.rules.transaction import Granted, Touched, Transaction, class_of


class Images(Protocol):
    """Who has the images of the objects as they are."""

    def image(self, class_id: int, dbid: int) -> bytes | None:
        """The image of an object; None: absent."""


def touch_granted(tx: Transaction, published: Images | None) -> None:
    """Has the objects built that get their first grants."""
    for granted in _changed(tx):
        cls = class_of(granted.key)
        if not granted.after or cls is TENANT or granted.key in tx.touched:
            continue
        image = published.image(*granted.key) if published is not None else None
        if image is None or not has_own_grants(image):
            tx.change(cls, granted.key[1])


def has_own(tx: Transaction, touched: Touched, had_own: bool) -> bool:
    """Whether the object's record is to say that it has grants of its own."""
    if touched.cls is TENANT:
        return False
    return (had_own or touched.key in tx.granted) and bool(tx.grants(touched.key))


def grants_changes(
    tx: Transaction, rows: ChangeRows, revision: int
) -> tuple[list[GrantsChange], list[bytes]]:
    """Adds the rows of all lists that change; their items and images, those that go last."""
    kept: list[tuple[GrantsChange, bytes]] = []
    gone: list[tuple[GrantsChange, bytes]] = []
    for granted in _changed(tx):
        number = granted.before.number
        if number:
            rows.grants_gone.append({"number_": number})
        if granted.after:
            op = "update" if number else "create"
            number = number or tx.give_number(GRANTS_CLASS_ID)
            _add_rows(rows, granted, number, revision)
            image = build_grants(number, granted.key, granted.after, revision)
            kept.append((GrantsChange(op, number, granted.key, granted.after), image))
        else:
            is_told = tx.exists(*granted.key)
            gone.append((GrantsChange("delete", number, granted.key, {}, is_told), b""))
    found = kept + gone
    return [change for change, _ in found], [image for _, image in found]


def _changed(tx: Transaction) -> Iterator[Granted]:
    refused = tx.refused or ()
    for granted in list(tx.granted.values()):
        if granted.command not in refused and granted.after != granted.before.grants:
            yield granted


def _add_rows(rows: ChangeRows, granted: Granted, number: int, revision: int) -> None:
    class_id, dbid = granted.key
    rows.grants += [
        {
            "number": number,
            "account_class": account_class,
            "account_dbid": account_dbid,
            "class_id": class_id,
            "dbid": dbid,
            "rights": rights,
            "revision": revision,
        }
        for (account_class, account_dbid), rights in sorted(granted.after.items())
    ]
