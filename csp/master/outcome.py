"""Remembers what became of a write that carries an id, so that a lost reply can be asked for.

1. A committed write's id is stored in the write's own database transaction.
2. Asking for an id that was never seen stores it as rejected: it can never commit after that.
3. The same id again gives the same answer and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from csp import errors
from csp.master.database import ChangeRows, Database, Row

REJECTED = b'{"rejected":true}'


def row_of(write_id: str, time_ms: int, revision: int, results: Sequence[int]) -> Row:
    """The row that makes a committed write's answer repeatable."""
    result = orjson.dumps({"revision": revision, "results": list(results)}).decode()
    return {"id": write_id, "time_ms": time_ms, "result": result}


def find_answer(database: Database, write_id: str) -> tuple[int, list[int]] | None:
    """The answer that this id's write got before; None if it is new."""
    text = database.write_result(write_id)
    if text is None:
        return None
    result = orjson.loads(text)
    if "rejected" in result:
        raise errors.BadValue(
            f"ID {write_id}: was asked for and answered as rejected, so it can't commit any more; "
            f"use another id"
        )
    return result["revision"], result["results"]


def outcome_of(database: Database, write_id: str, time_ms: int) -> str:
    """`committed <revision>` or `rejected`."""
    text = database.write_result(write_id)
    if text is None:
        row = {"id": write_id, "time_ms": time_ms, "result": REJECTED.decode()}
        database.commit_nothing(ChangeRows(0, 0, time_ms, writes=[row]))
        return "rejected"
    result = orjson.loads(text)
    return "rejected" if "rejected" in result else f"committed {result['revision']}"
