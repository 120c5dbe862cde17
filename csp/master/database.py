"""Reads and writes the tables: one transaction per change, and what the start needs.

1. `commit_change` moves head, objects, names, references, accounts, history and write id together,
   or nothing of them.
2. It first takes the head row FOR UPDATE; another fence there means that another master took
   over, and nothing is written.
3. The caller is the only writer of this process; readers take connections of their own.
4. A connection that was lost, a damaged file and one that is not there any more make every further
   question MASTERDOWN at once, until `adopt`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import (
    Connection,
    Select,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from csp import errors
from csp.master import schema, statements
from csp.master.dialect import count_waits, is_wait_in_vain, open_engine, reading_options
from csp.master.patience import Turn
from csp.master.sqlite import FileLost, check_whole, is_damage
from csp.master.upgrade import upgrade, version_of
from csp.model.types import FIRST_DBID
from csp.observe import failpoint
from csp.rules.transaction import Hashed

HEAD_ID: Final = 1
READ_CHUNK: Final = 2000  # rows a step while all objects are read

T = TypeVar("T")
Row = dict[str, Any]

# Where a change can be interrupted (csp.observe.failpoint), in this order.
FAILPOINTS: Final = (
    "master.begin",
    "master.after_head",
    "master.after_names_gone",
    "master.after_refs_gone",
    "master.after_deleted",
    "master.after_updated",
    "master.after_created",
    "master.after_names",
    "master.after_refs",
    "master.after_accounts_gone",
    "master.after_accounts",
    "master.after_counters",
    "master.after_entry",
    "master.after_history",
    "master.before_commit",
    "master.after_commit",
    "master.after_apply",
)


class Replaced(Exception):
    """Another master took this database over; this one must not write any more."""


class Head(NamedTuple):
    """The state of the database, named for good by stream, revision and mark."""

    fence: int
    revision: int
    mark: int
    time_ms: int
    stream: bytes


@dataclass
class ChangeRows:
    """All rows of one change, ready to be sent to the database."""

    revision: int
    mark: int
    time_ms: int
    created: list[Row] = field(default_factory=list)
    updated: list[Row] = field(default_factory=list)
    deleted: list[Row] = field(default_factory=list)  # class_id_, dbid_
    names: list[Row] = field(default_factory=list)
    names_gone: list[Row] = field(default_factory=list)  # objects whose names go first
    refs: list[Row] = field(default_factory=list)
    refs_gone: list[Row] = field(default_factory=list)
    accounts: list[Row] = field(default_factory=list)
    accounts_gone: list[Row] = field(default_factory=list)
    counters: list[Row] = field(default_factory=list)
    entry: Row = field(default_factory=dict)
    history: Row = field(default_factory=dict)
    writes: list[Row] = field(default_factory=list)


def said(error: BaseException) -> str:
    """What the database said, in one line without the statement and its values."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.split("\n")[0] or type(error).__name__


@contextmanager
def in_words() -> Iterator[None]:
    """Turns what the database refuses, outside a commit, into MasterDown with its words."""
    try:
        yield
    except IntegrityError:
        raise  # it does answer, and contradicts what its master believes
    except SQLAlchemyError as error:
        raise errors.MasterDown(f"the database does not answer: {said(error)}") from error


class Database:
    """One master's connection to its database."""

    def __init__(self, address: str) -> None:
        self.turn = Turn()
        self.engine, self.file = open_engine(address, self.turn)
        event.listen(self.engine, "handle_error", self._on_error)
        self._connection: Connection | None = None
        self._reader: Connection | None = None
        self.fence = 0
        self.lost = ""  # why the database is not there; empty while it is
        self.is_committing = False  # whether a commit was under way when it was lost
        # Statements as the driver takes them: their text, and the order of their values.
        self._bare: dict[Any, tuple[str, list[str] | None]] = {}

    @property
    def connection(self) -> Connection:
        self.check_there()
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    @property
    def reader(self) -> Connection:
        self.check_there()
        if self._reader is None:
            self._reader = self._connect().execution_options(**reading_options(self.engine))
        return self._reader

    def _connect(self) -> Connection:
        if self.file is not None:
            reason = self.file.why_not_open()
            if reason:
                raise FileLost(reason)
        connection = self.engine.connect()
        count_waits(connection, self.turn)
        return connection

    def close(self) -> None:
        """Closes all connections but those of questions under way."""
        for connection in (self._connection, self._reader):
            if connection is not None:
                connection.close()
        self._connection = self._reader = None
        self.engine.dispose()

    # -- loss and return ------------------------------------------------------------------------

    def check_there(self) -> None:
        """Raises MasterDown while the database is lost, or was waited for in vain in this turn."""
        if self.lost:
            raise errors.MasterDown(f"the database is not there: {self.lost}")
        if self.turn.is_over:
            raise errors.MasterDown("the database does not answer: it was just waited for in vain")

    def note_loss(self, error: BaseException | str) -> None:
        """The database is lost from now on; the first reason is kept."""
        self.lost = self.lost or (error if isinstance(error, str) else said(error))

    def look_at_file(self) -> None:
        """Notices that the file was damaged, removed or replaced, without a question to it."""
        if self.file is not None and not self.lost:
            reason = self.file.why_not_write() or self.file.why_damaged()
            if reason:
                self.note_loss(reason)

    def _on_error(self, context: ExceptionContext) -> None:
        error = context.original_exception
        if context.is_disconnect or is_damage(error):
            self.note_loss(error)
        elif is_wait_in_vain(error):
            self.turn.give_up()

    def let_go(self) -> None:
        """After a loss: closes what is open.  SQLite then saves what a lost WAL has to the file."""
        if self.file is not None:
            self.close()
            self.file.forget_beside()

    def connect(self) -> tuple[Connection, Head | None]:
        """A new connection for writing, and the head; called by the thread that waits for it.

        It waits for the head row: a commit that was under way is through, or never will be.
        None for the head if the database has none yet.
        """
        connection = self._connect_anew()
        try:
            with connection.begin():
                if not inspect(connection).has_table(schema.head.name):
                    return connection, None
                connection.execute(statements.LOCK_HEAD).all()
                return connection, self.head_seen_by(connection)
        except BaseException:
            connection.close()
            raise

    def _connect_anew(self) -> Connection:
        if self.file is None:
            return self.engine.connect()
        reason = self.file.why_not_open()
        pool = self.engine.pool
        if not reason and isinstance(pool, QueuePool) and pool.checkedout():
            reason = "a question still reads the files that were lost"
        if reason:
            raise FileLost(reason)
        with self.engine.connect() as plain:
            connection = plain.execution_options(**reading_options(self.engine))
            with connection.begin():
                reason = check_whole(connection)
        if reason:
            raise FileLost(reason)
        return self.engine.connect()

    def adopt(self, connection: Connection) -> None:
        """Goes on with this connection in place of those that were lost."""
        for old in (self._connection, self._reader):
            if old is not None:
                old.close()
        self._connection, self._reader = connection, None
        count_waits(connection, self.turn)
        self.lost = ""

    def stream(self) -> bytes:
        """The stream of a database that holds a configuration; empty where it holds none yet."""
        with self.connection.begin():
            if version_of(self.connection) is None:
                return b""
            row = self.connection.execute(select(schema.head.c.stream, schema.head.c.revision))
            found = row.one_or_none()
            return bytes.fromhex(found[0]) if found is not None and found[1] else b""

    def migrate(self) -> None:
        """Brings the tables to this release's form, in one transaction."""
        upgrade(self.connection)

    def take_fence(self, mine: int, note: Callable[[int], None]) -> Head:
        """Becomes the only master that may write; creates the head row of a new database.

        With the number that this server noted before (0: none): Replaced if another one has taken
        it since.  A lower one in the database is that of a backup which was put back, or of a
        writer that died between the two: the number is noted before the commit, as after it a
        death would make this server's own number that of another.
        """
        taking = update(schema.head).where(schema.head.c.id == HEAD_ID)
        if mine:
            taking = taking.where(schema.head.c.fence <= mine)
        with self.connection.begin():
            row = self.connection.execute(taking.values(fence=schema.head.c.fence + 1))
            if row.rowcount == 0 and mine:
                raise Replaced("another master has taken this database over")
            if row.rowcount == 0:
                self.connection.execute(
                    insert(schema.head),
                    [
                        {
                            "id": HEAD_ID,
                            "fence": 1,
                            "revision": 0,
                            "mark": "0" * 16,
                            "time_ms": 0,
                            "stream": secrets.token_hex(16),
                        }
                    ],
                )
            head = self.head_seen_by(self.connection)
            note(head.fence)
        self.fence = head.fence
        return head

    def head(self) -> Head:
        with self.reader.begin():
            return self.head_seen_by(self.reader)

    @staticmethod
    def head_seen_by(connection: Connection) -> Head:
        """The head as one transaction sees it."""
        row = connection.execute(select(schema.head)).one()
        return Head(
            row.fence, row.revision, int(row.mark, 16), row.time_ms, bytes.fromhex(row.stream)
        )

    # -- the change ---------------------------------------------------------------------------

    def commit_change(self, rows: ChangeRows) -> None:
        """Makes one change durable; Replaced or an IntegrityError leave the database as it was."""
        with self._committing() as connection:
            failpoint.passed("master.begin")
            self._take_head(connection, rows.revision - 1)
            head = {"mark": f"{rows.mark:016x}", "time_ms": rows.time_ms}
            self._execute(connection, statements.MOVE_HEAD, [head])
            failpoint.passed("master.after_head")
            for statement, values, place in self._statements(rows):
                if values:
                    self._execute(connection, statement, values)
                failpoint.passed(place)
        failpoint.passed("master.after_commit")

    @contextmanager
    def _committing(self) -> Iterator[Connection]:
        """A transaction that changes something; a loss while it ends leaves `is_committing` set."""
        connection = self.connection
        self.is_committing = False
        with connection.begin():
            yield connection
            self.is_committing = True
        self.is_committing = False

    def _take_head(self, connection: Connection, revision: int | None = None) -> None:
        """Holds the head row until the transaction ends; Replaced if it is not ours any more."""
        found = self._execute(connection, statements.LOCK_HEAD, []).one()
        if found[0] != self.fence or revision not in (None, found[1]):
            raise Replaced("another master has taken this database over")

    def _execute(self, connection: Connection, statement: Any, values: list[Row]) -> Any:
        """`connection.execute` with all columns, without its work on every statement and row."""
        bare = self._bare.get(statement)
        if bare is None:
            compiled = statement.compile(dialect=connection.dialect)
            self._bare[statement] = bare = str(compiled), compiled.positiontup
        text, names = bare
        if names is None:  # the driver wants names
            return connection.exec_driver_sql(text, values)
        return connection.exec_driver_sql(
            text, [tuple([row[name] for name in names]) for row in values]
        )

    @staticmethod
    def _statements(rows: ChangeRows) -> Iterator[tuple[Any, list[Row], str]]:
        # What goes comes first: a name may move from one object to another in one change.
        yield statements.DELETE_NAMES, rows.names_gone, "master.after_names_gone"
        yield statements.DELETE_REFS, rows.refs_gone, "master.after_refs_gone"
        yield statements.DELETE_OBJECT, rows.deleted, "master.after_deleted"
        yield statements.UPDATE_OBJECT, rows.updated, "master.after_updated"
        yield statements.INSERT["objects"], rows.created, "master.after_created"
        yield statements.INSERT["unique_names"], rows.names, "master.after_names"
        yield statements.INSERT["refs"], rows.refs, "master.after_refs"
        yield statements.DELETE_ACCOUNT, rows.accounts_gone, "master.after_accounts_gone"
        yield statements.INSERT["accounts"], rows.accounts, "master.after_accounts"
        yield statements.MOVE_COUNTER, rows.counters, "master.after_counters"
        yield statements.INSERT["entries"], [rows.entry], "master.after_entry"
        yield statements.INSERT["history"], [rows.history], "master.after_history"
        yield statements.INSERT["writes"], rows.writes, "master.before_commit"

    def commit_nothing(self, rows: ChangeRows) -> None:
        """Keeps what is left of a transaction without changes, or a rejected one: the write id, and
        the numbers given to what it created and deleted, since they were told.
        """
        with self._committing() as connection:
            self._take_head(connection)
            if rows.counters:
                self._execute(connection, statements.MOVE_COUNTER, rows.counters)
            if rows.writes:
                self._execute(connection, statements.INSERT["writes"], rows.writes)

    # -- questions ----------------------------------------------------------------------------

    def _one_value(self, question: Select[T]) -> T | None:
        with self.reader.begin():
            return self.reader.execute(question).scalar_one_or_none()

    def write_result(self, write_id: str) -> str | None:
        return self._one_value(select(schema.writes.c.result).where(schema.writes.c.id == write_id))

    def referrers(self, class_id: int, dbid: int, most: int) -> list[tuple[int, int]]:
        """(class, DBID) of those that refer to this object, in order, at most `most`."""
        with self.reader.begin():
            rows = self.reader.execute(
                statements.REFERRERS, {"to_class": class_id, "to_dbid": dbid, "most": most}
            )
            return [(row[0], row[1]) for row in rows]

    def name_owner(self, class_id: int, rule: int, scope: str, value: str) -> int | None:
        """The DBID that holds this unique name."""
        names = schema.unique_names
        return self._one_value(
            select(names.c.dbid).where(
                names.c.class_id == class_id,
                names.c.rule == rule,
                names.c.scope == scope,
                names.c.value == value,
            )
        )

    def account_row(self, class_id: int, dbid: int) -> Any:
        """The row of an object's secret, or None."""
        table = schema.accounts
        with self.reader.begin():
            return self.reader.execute(
                select(table).where(table.c.class_id == class_id, table.c.dbid == dbid)
            ).one_or_none()

    def account(self, class_id: int, dbid: int) -> Hashed | None:
        """The hash that is kept for an object's secret."""
        row = self.account_row(class_id, dbid)
        return None if row is None else Hashed(row.algorithm, row.hash)

    def counters(self) -> dict[int, int]:
        with self.reader.begin():
            return {
                row.class_id: row.next_dbid for row in self.reader.execute(select(schema.counters))
            }

    def add_counters(self, class_ids: Iterable[int]) -> None:
        """Starts the numbers of classes that this database did not have yet."""
        rows = [{"class_id": class_id, "next_dbid": FIRST_DBID} for class_id in class_ids]
        if rows:
            with self.connection.begin():
                self.connection.execute(insert(schema.counters), rows)

    # -- everything -----------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection of its own whose statements all see one revision."""
        self.check_there()
        with self.engine.connect() as plain:
            connection = plain.execution_options(**reading_options(self.engine))
            with connection.begin():
                yield connection

    def objects_after(
        self, connection: Connection, class_id: int, dbid: int, most: int = READ_CHUNK
    ) -> Sequence[Any]:
        """The rows of one class in DBID order: dbid, revision, body."""
        return connection.execute(
            statements.OBJECTS_AFTER, {"class_id_": class_id, "after": dbid, "most": most}
        ).all()

    def accounts(self, connection: Connection) -> Sequence[Any]:
        return connection.execute(
            select(schema.accounts).order_by(schema.accounts.c.class_id, schema.accounts.c.dbid)
        ).all()
