"""Keeps the rows of pairs of proxies: which half is to serve, changed one number at a time.

1. A row is changed by who names the number that follows the present one: of two that ask at once
   one is told what the other has made of it.
2. A change has a revision of its own, so that it reaches every store and proxy as account records
   do; its entry names no object, and the history does not have it (as token_keys.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, select

from csp.errors import BadValue, Conflict, NoRef
from csp.master import schema
from csp.master.build import Built
from csp.master.database import Database
from csp.master.rows import ChangeRows
from csp.model.entry import build_keys_entry
from csp.model.pairs import PAIRS_DBID, PairRow, pairs_image
from csp.model.redundancy import backup_dbid_of, is_server

_table = schema.pairs
Get = Callable[[int], Mapping[str, Any] | None]  # an Application by its DBID


def pairs_seen_by(connection: Connection) -> tuple[dict[int, PairRow], int]:
    """The rows as one transaction sees them, by pair, and the revision of the newest."""
    rows = connection.execute(select(_table)).all()
    found = {row.pair: PairRow(row.pair, row.number, row.active) for row in rows}
    return found, max((row.revision for row in rows), default=0)


def pairs(database: Database) -> dict[int, PairRow]:
    """The rows as they are now."""
    with database.reader.begin():
        return pairs_seen_by(database.reader)[0]


def check_row(wanted: PairRow, present: Mapping[int, PairRow], get: Get) -> None:
    """Raises NoRef or BadValue where it is no row of a pair, Conflict where its number is not the
    one that follows.
    """
    primary = get(wanted.pair)
    if primary is None or not is_server(primary) or not backup_dbid_of(primary):
        raise NoRef(f"CfgApplication:{wanted.pair} is no primary of a pair")
    halves = (wanted.pair, backup_dbid_of(primary))
    if wanted.active not in halves:
        raise BadValue(f"active {wanted.active} is none of the pair: {halves[0]} or {halves[1]}")
    row = present.get(wanted.pair, PairRow(wanted.pair))
    if wanted.number != row.number + 1:
        raise Conflict(f"the pair {row.pair} is at number {row.number}: {row.named} serves")


def build_row(
    wanted: PairRow,
    present: Mapping[int, PairRow],
    revision: int,
    prev_mark: int,
    time_ms: int,
) -> tuple[Built, dict[int, PairRow]]:
    """The change that brings a row, and all rows as they are then."""
    kept = {**present, wanted.pair: wanted}
    built = Built(ChangeRows(revision, 0, time_ms))
    built.entry = build_keys_entry(revision, prev_mark, time_ms, [PAIRS_DBID])
    built.accounts = [pairs_image(kept.values(), revision)]
    rows = built.rows
    rows.take_entry(built.entry)
    rows.pairs_gone = [{"pair_": wanted.pair}]
    rows.pairs = [
        {
            "pair": wanted.pair,
            "number": wanted.number,
            "active": wanted.active,
            "revision": revision,
        }
    ]
    return built, kept
