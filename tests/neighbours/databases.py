"""Gives a test a fresh database of either kind, with a backup that can be put back.

1. `place` fixtures give both kinds; a master that a test starts has the kind that CSP_TEST_DATABASE
   names: sqlite (also without it) or postgresql.
2. A fresh database is a copy of one that has the tables, or of one that is filled too: a master
   finds in it what it would have put there itself.
3. A copy of a whole PostgreSQL database takes a third of a second of processor time; what was lent
   to a test is therefore emptied, filled from the schema KEPT of the same database, and lent again.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from csp.master import schema
from csp.master.database import Database
from csp.master.origin import DatabaseOrigin
from csp.master.seed import SeedPlan
from csp.master.sqlite_file import DatabaseFile
from tests.neighbours.postgres import Postgres, shared
from tests.unit.fake_host import FakeHost

KIND_VARIABLE = "CSP_TEST_DATABASE"
KINDS = ("sqlite", "postgresql")
SEEDED_PASSWORD = "secret"
KEPT = "kept"


class Place(ABC):
    """Where a master's tables are."""

    @property
    @abstractmethod
    def url(self) -> str:
        """As `csp master --db` takes it."""

    @abstractmethod
    def back_up(self) -> None:
        """Keeps the database as it is now; nobody may be connected to it."""

    @abstractmethod
    def put_back(self) -> None:
        """Makes it what was kept; nobody may be connected to it."""

    @abstractmethod
    def files(self) -> Iterator[Path]:
        """All files that may hold something of it."""


class SqlitePlace(Place):
    """A file in a folder of its own."""

    def __init__(self, folder: Path, template: Path | None = None) -> None:
        self.path = folder / "master.db"
        self._backup: dict[Path, bytes] = {}
        if template is not None:
            shutil.copyfile(template, self.path)
            self.path.chmod(0o600)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def back_up(self) -> None:
        self._backup = {file: file.read_bytes() for file in self.files()}

    def put_back(self) -> None:
        for file in self.files():
            file.unlink()
        for file, content in self._backup.items():
            file.write_bytes(content)

    def files(self) -> Iterator[Path]:
        return iter([one for one in self.path.parent.iterdir() if one.name.startswith("master.db")])


class PostgresPlace(Place):
    """A database of a server; as a copy of one with the tables it is made in milliseconds."""

    def __init__(self, server: Postgres, template: str) -> None:
        """A copy of the template; an earlier one that was given back serves as well."""
        self.server = server
        self.template = template
        self._backup = ""
        free = _free.get((server, template))
        if free:
            self.name = free.pop()
            _refill(server, self.name)
        else:
            self.name = server.new_database(template)

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def back_up(self) -> None:
        self._backup = self.server.new_database(self.name)

    def put_back(self) -> None:
        self.server.execute(f"DROP DATABASE {self.name} WITH (FORCE)")
        self.server.execute(f"CREATE DATABASE {self.name} TEMPLATE {self._backup}")

    def give_back(self) -> None:
        """Says that the test is done with it; its tables are still what they were, but for rows."""
        _free.setdefault((self.server, self.template), []).append(self.name)

    def files(self) -> Iterator[Path]:
        self.server.execute("CHECKPOINT")
        folders = (self.server.data / "base", self.server.data / "pg_wal")
        return (one for folder in folders for one in folder.rglob("*") if one.is_file())


_free: dict[tuple[Postgres, str], list[str]] = {}
_TABLES = [*schema.metadata.tables, schema.versions.name]


def _refill(server: Postgres, name: str) -> None:
    """Makes the rows what the template has."""
    server.cut_off(name)
    rows = [f"INSERT INTO {table} SELECT * FROM {KEPT}.{table}" for table in _TABLES]
    server.execute(f"TRUNCATE {', '.join(_TABLES)}; {'; '.join(rows)}", name)


def _keep(server: Postgres, name: str) -> None:
    kept = [f"CREATE TABLE {KEPT}.{table} AS TABLE {table}" for table in _TABLES]
    server.execute(f"CREATE SCHEMA {KEPT}; {'; '.join(kept)}", name)


@cache
def with_tables(server: Postgres) -> str:
    """The name of a database that holds the tables and nothing else, to make copies of."""
    name = server.new_database()
    database = Database(server.url(name))
    database.migrate()
    database.close()
    _keep(server, name)
    return name


@cache
def seeded_postgres(server: Postgres) -> str:
    """The name of a database as a master's first start leaves it, to make copies of."""
    name = server.new_database(with_tables(server))
    _seed(server.url(name))
    server.execute(f"DROP SCHEMA {KEPT} CASCADE", name)
    _keep(server, name)
    return name


@cache
def sqlite_with_tables() -> Path:
    """A file that holds the tables and nothing else, to make copies of."""
    place = _sqlite_of_this_process()
    database = Database(place.url)
    database.migrate()
    database.close()
    return place.path


@cache
def seeded_sqlite() -> Path:
    """A file as a master's first start leaves it, to make copies of."""
    place = _sqlite_of_this_process()
    _seed(place.url)
    return place.path


def _sqlite_of_this_process() -> SqlitePlace:
    """A new file, which goes with the process."""
    folder = tempfile.mkdtemp(prefix="csp-template-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    place = SqlitePlace(Path(folder))
    DatabaseFile(str(place.path)).create()
    return place


def _seed(url: str) -> None:
    origin = DatabaseOrigin(url, SeedPlan(password=SEEDED_PASSWORD))
    origin.start(FakeHost())
    origin.note_stop()
    origin.close()


def fresh(kind: str, folder: Path, *, is_seeded: bool = False) -> Place:
    """A database of that kind for one test."""
    if kind == "sqlite":
        return SqlitePlace(folder, seeded_sqlite() if is_seeded else None)
    server = shared()
    return PostgresPlace(server, seeded_postgres(server) if is_seeded else with_tables(server))


@contextmanager
def lent(kind: str, folder: Path, *, is_seeded: bool = False) -> Iterator[Place]:
    """A database of that kind until the block ends, when nobody is connected to it any more."""
    place = fresh(kind, folder, is_seeded=is_seeded)
    yield place
    if isinstance(place, PostgresPlace):
        place.give_back()


_of_folders: dict[Path, Place] = {}


def place_of_master(folder: Path) -> Place:
    """The database of the masters in this folder, of the kind that the whole run has."""
    kind = os.environ.get(KIND_VARIABLE, KINDS[0])
    if kind not in KINDS:
        raise ValueError(f"{KIND_VARIABLE}={kind}: the kinds are {', '.join(KINDS)}")
    if folder not in _of_folders:
        # The tables are there: to make them takes a sixth of what a master's start does.
        is_sqlite = kind == "sqlite"
        _of_folders[folder] = (
            SqlitePlace(folder, sqlite_with_tables()) if is_sqlite else fresh(kind, folder)
        )
    return _of_folders[folder]
