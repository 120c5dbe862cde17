"""Reads the window of the change log that the database keeps.

Entries that an older release wrote in a form of its own count as gone.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, select

from csp.master import schema
from csp.model.entry import is_readable
from csp.process.origin import EntriesPage

PAGE_BYTES_MAX: Final = 1 << 20
PAGE_ENTRIES_MAX: Final = 1_000

_table = schema.entries


def entries_from(connection: Connection, first: int, last: int, most_bytes: int) -> list[bytes]:
    """Log entries from `first` to `last`, ascending; the newest of them that fit."""
    size = 0
    sizes = connection.execute(
        select(_table.c.revision, _table.c.size)
        .where(_table.c.revision >= first, _table.c.revision <= last)
        .order_by(_table.c.revision.desc())
    )
    expected = last
    for at, entry_size in sizes:
        size += entry_size
        if at != expected or size > most_bytes:
            break
        expected = at - 1
    rows = connection.execute(
        select(_table.c.entry)
        .where(_table.c.revision > expected, _table.c.revision <= last)
        .order_by(_table.c.revision)
    )
    return _readable([bytes(row[0]) for row in rows])


def _readable(entries: list[bytes]) -> list[bytes]:
    """Those behind the last one of another form."""
    first = len(entries)
    while first and is_readable(entries[first - 1]):
        first -= 1
    return entries[first:]


def entries_page(connection: Connection, first: int) -> EntriesPage:
    """The entries from revision `first` on, one and as many more as fit into a page."""
    with connection.begin():
        oldest = connection.execute(select(func.min(_table.c.revision))).scalar_one() or 0
        rows = connection.execute(
            select(_table.c.revision, _table.c.size)
            .where(_table.c.revision >= first)
            .order_by(_table.c.revision)
            .limit(PAGE_ENTRIES_MAX)
        ).all()
        size, last = 0, first - 1
        for revision, entry_size in rows:
            size += entry_size
            if revision != last + 1 or (size > PAGE_BYTES_MAX and revision > first):
                break
            last = revision
        found = connection.execute(
            select(_table.c.entry)
            .where(_table.c.revision >= first, _table.c.revision <= last)
            .order_by(_table.c.revision)
        )
        entries = [bytes(row[0]) for row in found]
    readable = _readable(entries)
    if len(readable) < len(entries):  # what was asked for first is gone
        return EntriesPage(last + 1 - len(readable), [])
    return EntriesPage(oldest, entries)


def mark_at(connection: Connection, revision: int) -> int | None:
    """The mark of this revision, while the log or the history has it."""
    for table in (_table, schema.history):
        found = connection.execute(
            select(table.c.mark).where(table.c.revision == revision)
        ).scalar_one_or_none()
        if found is not None:
            return int(found, 16)
    return None
