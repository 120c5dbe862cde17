"""A connection that commits waits for the disk, whatever is the default of its server."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from csp.master.database import Database
from tests.neighbours.postgres import Postgres


def said(database: Database, question: str) -> object:
    with database.connection.begin():
        return database.connection.execute(text(question)).scalar()


@pytest.fixture
def lazy(postgres: Postgres) -> str:
    """A database whose server does not wait for the disk by default."""
    name = postgres.new_database()
    postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    return postgres.url(name)


def test_sqlite_waits_for_the_disk_at_each_commit(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/master.db")
    assert database.file is not None
    database.file.create()
    database.migrate()
    assert said(database, "PRAGMA synchronous") == 2, "FULL: a commit waits for the WAL's disk"
    assert said(database, "PRAGMA journal_mode") == "wal"
    database.close()


@pytest.mark.needs("postgres")
def test_postgresql_waits_for_the_disk_though_its_default_is_not_to(lazy: str) -> None:
    database = Database(lazy)
    database.migrate()
    assert said(database, "SHOW synchronous_commit") == "on"
    database.close()
