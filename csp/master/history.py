"""Reads change records of the `history` table, a page at a time, in steps between the writes.

1. A page looks through SCAN_MAX rows at most, in steps of STEP_ROWS: no write waits for more.
2. A record says what the change was, as subscribers were told: objects that were created, deltas.
   They are kept as long as the record (retention.py), compressed; of a change that takes more than
   DETAIL_BYTES_MAX the record only says which objects it changed.
3. Rows hold no secret, so nothing here can show one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Final

import orjson
from sqlalchemy import Select, select

from csp.master import schema
from csp.master.database import Database
from csp.model.entry import events_in
from csp.model.history import HistoryPage, HistoryQuestion, Line, joined

STEP_ROWS: Final = 100
SCAN_MAX: Final = 20_000
PAGE_BYTES_MAX: Final = 1 << 20  # a page ends after the record that passes it
DETAIL_BYTES_MAX: Final = 1 << 20
PLAIN_BYTES_MAX: Final = 2048  # up to here zlib takes longer to begin than all the rest of a write
COMPRESSION: Final = 1  # the fastest: the writer does it for every change
SHOWN: Final = ("object", "base", "delta", "grants")  # of what was done to an object
CHANGES_SHOWN_MAX: Final = 10_000  # of one record; `omitted` counts the rest


def history_page(database: Database, question: HistoryQuestion) -> Iterator[HistoryPage | None]:
    """Yields None after each step, the page last."""
    records: list[bytes] = []
    since, looked_at, size = question.since, 0, 0
    while True:
        with database.reader.begin():
            head = database.head_seen_by(database.reader).revision
            rows = database.reader.execute(_rows_after(since)).all()
        for row in rows:
            since = row.revision
            record = _record(database, row, question)
            if record is None:
                continue
            records.append(record)
            size += len(record)
            if len(records) >= question.limit or size >= PAGE_BYTES_MAX:
                yield HistoryPage(head, since if since < head else 0, records)
                return
        looked_at += len(rows)
        if len(rows) < STEP_ROWS:
            yield HistoryPage(head, 0, records)
            return
        if looked_at >= SCAN_MAX:
            yield HistoryPage(head, since, records)
            return
        yield None


def _rows_after(since: int) -> Select[Any]:
    table = schema.history
    columns = (table.c.revision, table.c.time_ms, table.c.actor, table.c.write_id)
    return (
        select(*columns, table.c.changes)
        .where(table.c.revision > since)
        .order_by(table.c.revision)
        .limit(STEP_ROWS)
    )


def _record(database: Database, row: Any, question: HistoryQuestion) -> bytes | None:
    """The record as JSON; None where it is not asked for."""
    actor = orjson.loads(row.actor)
    if not question.allows(actor, row.write_id):
        return None
    changes = orjson.loads(row.changes)
    if not question.chosen(changes):
        return None
    found: dict[str, Any] = {"revision": row.revision, "time": row.time_ms, "actor": actor}
    if row.write_id:
        found["id"] = row.write_id
    shown = _details(database, row.revision) or [
        {"op": op, "class": name, "DBID": dbid}
        for op, name, dbid, *_ in changes[:CHANGES_SHOWN_MAX]
    ]
    found["changes"] = shown
    if len(shown) < len(changes):
        found["omitted"] = len(changes) - len(shown)
    return joined(orjson.dumps(found), _lines(shown, changes))


def _lines(shown: list[dict[str, Any]], changes: list[Line]) -> list[Line]:
    """Of what is shown, then of what is omitted."""
    places = {(line[1], line[2]): line[3:] for line in changes if len(line) > 3}
    lines: list[Line] = []
    for one in shown:
        where = places.get((one["class"], one["DBID"]), []) if one["op"] == "delete" else []
        lines.append([one["op"], one["class"], one["DBID"], *where])
    return lines + changes[len(shown) :]


def _details(database: Database, revision: int) -> list[dict[str, Any]]:
    """The changes with object or delta; empty where they are not kept, or were too large."""
    details, entries = schema.history.c.details, schema.entries
    with database.reader.begin():
        kept = database.reader.execute(
            select(details).where(schema.history.c.revision == revision)
        ).scalar_one_or_none()
        if kept is None:  # a change before records had details
            kept = database.reader.execute(
                select(entries.c.entry).where(
                    entries.c.revision == revision, entries.c.size <= DETAIL_BYTES_MAX
                )
            ).scalar_one_or_none()
            kept = None if kept is None else details_of(bytes(kept))
    if kept is None:
        return []
    shown = []
    for event in orjson.loads(kept if kept.startswith(b"[") else zlib.decompress(kept)):
        change = {name: event[name] for name in ("op", "class", "DBID")}
        change.update({name: event[name] for name in SHOWN if name in event})
        shown.append(change)
    return shown


def details_of(entry: bytes) -> bytes | None:
    """What a record keeps of a change for as long as it is kept; None where that is too much."""
    text = b"[%b]" % b",".join([event + b"}" for event in events_in(entry)])
    if len(text) <= PLAIN_BYTES_MAX:
        return text
    return zlib.compress(text, COMPRESSION) if len(text) <= DETAIL_BYTES_MAX else None
