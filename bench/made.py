"""Makes many objects without a server: record images, and the rows of a master's database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import orjson

from csp.model.extract import Nothing
from csp.model.image import build_image
from csp.model.types import CLASSES, FIRST_DBID
from csp.transfer.estate.sizes import Sizes

PERSON = CLASSES["CfgPerson"]

ROWS_A_STEP = 20_000


def persons(count: int, mean_bytes: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Agents with annexes whose sizes are spread as those of a real centre."""
    random, sizes = Random(seed), Sizes(mean_bytes)
    for number in range(count):
        dbid = FIRST_DBID + number
        yield sizes.filled(
            {
                "class": "CfgPerson", "DBID": dbid, "revision": 1, "folderDBID": 3,
                "tenantDBID": 1, "lastName": f"Last{number % 997}", "firstName": f"F{number % 89}",
                "employeeID": f"e{number:07}", "userName": f"user{number:07}", "isAgent": False,
                "state": "enabled",
            },
            random,
        )  # fmt: skip


def images(count: int, mean_bytes: int) -> Iterator[bytes]:
    """Their record images at revision 1."""
    for one in persons(count, mean_bytes):
        yield build_image(PERSON, one, 1, Nothing())


def fill_database(path: Path, count: int, mean_bytes: int) -> None:
    """Puts persons into a master's SQLite database while no master runs.

    It loads them at its start.
    Names and references are left out: nothing is changed in such a database, only served.
    """
    connection = sqlite3.connect(path)
    (folder,) = connection.execute(
        'select dbid from objects where class_id = 22 and body like \'%"type":"person"%\''
    ).fetchone()
    (revision,) = connection.execute("select revision from head").fetchone()
    rows = []
    for one in persons(count, mean_bytes):
        body = {name: one[name] for name in one if name not in ("class", "DBID", "revision")}
        body["folderDBID"] = folder
        text = orjson.dumps(body).decode()
        rows.append((PERSON.id, one["DBID"], 1, folder, revision, text))
        if len(rows) == ROWS_A_STEP:
            _insert(connection, rows)
    _insert(connection, rows)
    connection.execute(
        "update counters set next_dbid = ? where class_id = ?", (FIRST_DBID + count, PERSON.id)
    )
    connection.commit()
    connection.close()


def _insert(connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    connection.executemany(
        "insert into objects (class_id, dbid, tenant, folder, revision, body)"
        " values (?, ?, ?, ?, ?, ?)",
        rows,
    )
    rows.clear()
