"""Gives a test a fresh database of either kind, with a backup that can be put back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from csp.master.database import Database
from tests.neighbours.postgres import Postgres


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

    def __init__(self, folder: Path) -> None:
        self.path = folder / "master.db"
        self._backup = b""

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def back_up(self) -> None:
        self._backup = self.path.read_bytes()

    def put_back(self) -> None:
        for file in self.files():
            file.unlink()
        self.path.write_bytes(self._backup)

    def files(self) -> Iterator[Path]:
        return iter([one for one in self.path.parent.iterdir() if one.name.startswith("master.db")])


class PostgresPlace(Place):
    """A database of a server; as a copy of one with the tables it is made in milliseconds."""

    def __init__(self, server: Postgres, template: str) -> None:
        self.server = server
        self.name = server.new_database(template)
        self._backup = ""

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def back_up(self) -> None:
        self._backup = self.server.new_database(self.name)

    def put_back(self) -> None:
        self.server.execute(f"DROP DATABASE {self.name} WITH (FORCE)")
        self.server.execute(f"CREATE DATABASE {self.name} TEMPLATE {self._backup}")

    def files(self) -> Iterator[Path]:
        self.server.execute("CHECKPOINT")
        folders = (self.server.data / "base", self.server.data / "pg_wal")
        return (one for folder in folders for one in folder.rglob("*") if one.is_file())


def with_tables(server: Postgres) -> str:
    """The name of a database that holds the tables and nothing else, to make copies of."""
    name = server.new_database()
    database = Database(server.url(name))
    database.migrate()
    database.close()
    return name
