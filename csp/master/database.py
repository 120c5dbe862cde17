"""Connects to the database, and asks it what the engine and the start need.

1. A change is committed whole or not at all (commit.py).
2. A question of one statement is asked without a transaction.
3. The caller is the only writer of this process; readers take connections of their own.
4. A connection that was lost, a damaged file and one that is not there any more make every further
   question MASTERDOWN at once, until `adopt`.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from csp import errors
from csp.master import schema, statements
from csp.master.commit import OTHER_MASTER, Replaced, send_changes
from csp.master.dialect import (
    backend_of,
    count_waits,
    is_shared,
    is_wait_in_vain,
    open_engine,
    quick_options,
    reading_options,
    writing,
)
from csp.master.driver import Driver
from csp.master.patience import Turn
from csp.master.rows import ChangeRows
from csp.master.sqlite import check_whole, is_damage
from csp.master.sqlite_file import FileLost
from csp.master.upgrade import upgrade, version_of
from csp.model.accounts import AccountRecord, record_of
from csp.model.rights import Account
from csp.model.types import FIRST_DBID
from csp.observe import failpoint
from csp.observe.clock import steady_ms
from csp.observe.events import log_event
from csp.rules.names import UniqueName
from csp.rules.transaction import NO_GRANTS, Kept

HEAD_ID: Final = 1
SLOW_COMMIT_MS: Final = 1000  # said in the log: it may explain what a client waited for
DIGEST_KEY_BYTES: Final = 32

T = TypeVar("T")
log = logging.getLogger("csp.master")


class Head(NamedTuple):
    """The state of the database, named for good by stream, revision and mark."""

    fence: int
    revision: int
    mark: int
    time_ms: int
    stream: bytes


def said(error: BaseException) -> str:
    """What the database said, in one line without the statement and its values."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.split("\n")[0] or type(error).__name__


@contextmanager
def in_words() -> Iterator[None]:
    """Turns what the database refuses, outside a commit, into MasterDown with its words."""
    try:
        yield
    except (IntegrityError, DataError):
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
        self._quick: Connection | None = None
        self.fence = 0
        self.fenced_ms = 0  # steady_ms() at the start of the last statement that found it ours
        self.is_shared = is_shared(self.engine)  # among masters, of which one has a lease
        self.lost = ""  # why the database is not there; empty while it is
        self.is_committing = False  # whether a commit was under way when it was lost
        self.driver = Driver(self._failed)

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

    @property
    def quick(self) -> Connection:
        """For questions of one statement, which need no transaction: through `driver` only."""
        self.check_there()
        if self._quick is None:
            self._quick = self._connect().execution_options(**quick_options(self.engine))
        return self._quick

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
        for connection in (self._connection, self._reader, self._quick):
            if connection is not None:
                connection.close()
        self._connection = self._reader = self._quick = None
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
        self._failed(context.original_exception, context.is_disconnect)

    def _failed(self, error: BaseException, is_lost: bool) -> None:
        """Hears of every error of the driver."""
        if is_lost or is_damage(error):
            self.note_loss(error)
        elif is_wait_in_vain(error) and not self.lost:  # else it is who looks for it that waited
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
                # A commit of its own: standbys that confirm it have all that was before.
                connection.execute(statements.TOUCH_HEAD)
                head = self.head_seen_by(connection)
            return connection, head
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
        for old in (self._connection, self._reader, self._quick):
            if old is not None:
                old.close()
        self._connection, self._reader, self._quick = connection, None, None
        count_waits(connection, self.turn)
        self.lost, self.is_committing = "", False

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
                raise Replaced(OTHER_MASTER)
            if row.rowcount == 0:
                self.insert_head(1)
            head = self.head_seen_by(self.connection)
            note(head.fence)
        self.fence = head.fence
        return head

    def insert_head(self, fence: int, holder: str = "") -> None:
        """The head row of a new database, inside a transaction; IntegrityError if there is one."""
        row = {
            **{"id": HEAD_ID, "fence": fence, "revision": 0, "mark": "0" * 16, "time_ms": 0},
            "stream": secrets.token_hex(16),
            "digest_key": secrets.token_hex(DIGEST_KEY_BYTES),
            **{"holder": holder, "heir": ""},
        }
        self.connection.execute(insert(schema.head), [row])

    def backend(self) -> tuple[int, str]:
        """The server's process for the connection that commits: its pid and start."""
        return backend_of(self.connection)

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

    def commit(self, changes: Sequence[ChangeRows]) -> None:
        """Makes changes durable, all or none; Replaced or an IntegrityError leave the database as
        it was.  A loss while the transaction ends leaves `is_committing` set.

        Where it is the history that can't be written, they are made without their records: what
        was asked for is done, and the log of the server says that nobody will find it there.
        """
        try:
            self._commit(changes)
        except DBAPIError as error:
            if self.lost or self.is_committing or schema.history.name not in said(error):
                raise
            self._commit([replace(rows, history=[]) for rows in changes])
            for rows in changes:
                log_event(log, "22138", count=len(rows.history), what="changes", reason=said(error))

    def _commit(self, changes: Sequence[ChangeRows]) -> None:
        connection = self.connection
        self.is_committing = False
        began, began_ms = time.monotonic(), steady_ms()
        with self.driver.errors_of(connection), writing(connection, self.file, self.turn):
            failpoint.passed("master.begin")
            send_changes(self.driver, connection, changes, self.fence)
            self.is_committing = True
        self.is_committing = False
        self.fenced_ms = began_ms
        elapsed_ms = int(1000 * (time.monotonic() - began))
        if elapsed_ms >= SLOW_COMMIT_MS:
            log_event(log, "51359", elapsed_ms=elapsed_ms, revision=changes[-1].revision)
        failpoint.passed("master.after_commit")

    # -- questions ----------------------------------------------------------------------------

    def _one_value(self, question: Select[T]) -> T | None:
        with self.reader.begin():
            return self.reader.execute(question).scalar_one_or_none()

    def ask(self, question: Any, **values: Any) -> list[Any]:
        """The rows of one answer; no transaction is needed for it."""
        return self.driver.ask(self.quick, question, values)

    def tell(self, statement: Any, **values: Any) -> int:
        """Runs one statement that stands alone; how many rows it changed."""
        connection = self.quick
        with self.driver.errors_of(connection):
            return int(self.driver.run(connection, statement, [values]).rowcount)

    def write_known(self, account: int, write_id: str) -> tuple[str, str] | None:
        """The digest and the result that are kept for this account's write id."""
        rows = self.ask(statements.WRITE, account=account, id=write_id)
        return (rows[0][0], rows[0][1]) if rows else None

    def digest_key(self) -> bytes:
        """The key that digests of commands are made with."""
        return bytes.fromhex(self._one_value(select(schema.head.c.digest_key)) or "")

    def referrers(
        self, class_id: int, dbid: int, most: int, classes: Sequence[int] = ()
    ) -> list[tuple[int, int]]:
        """(class, DBID) of those that refer to this object, in order, at most `most`.

        Of one or two classes alone where they are named.
        """
        named = {"to_class": class_id, "to_dbid": dbid, "most": most}
        if classes:
            ends = {"first": classes[0], "second": classes[-1]}
            rows = self.ask(statements.REFERRERS_OF_CLASSES, **named, **ends)
        else:
            rows = self.ask(statements.REFERRERS, **named)
        return [(row[0], row[1]) for row in rows]

    def needers(self, class_id: int, dbid: int, most: int) -> list[tuple[tuple[int, int], str]]:
        """The same of those that keep it from being deleted, each with a path."""
        rows = self.ask(statements.NEEDERS, to_class=class_id, to_dbid=dbid, most=most)
        return [((row[0], row[1]), row[2]) for row in rows]

    def groups_listing(self, class_id: int, dbid: int) -> list[int]:
        """DBIDs of the access groups that list a person or a group as a member, in order."""
        rows = self.ask(statements.GROUPS_LISTING, to_class=class_id, to_dbid=dbid)
        return [row[0] for row in rows]

    def name_owners(self, names: Sequence[UniqueName]) -> dict[UniqueName, int]:
        """The DBID that holds each of these names; those that nobody holds are left out."""
        values = [name._asdict() for name in names]
        found = self.driver.ask_each(self.quick, statements.NAME_OWNER, values)
        return {name: rows[0][0] for name, rows in zip(names, found, strict=True) if rows}

    def account(self, class_id: int, dbid: int) -> AccountRecord | None:
        """The record that is kept for an object's secret."""
        rows = self.ask(statements.ACCOUNT, class_id_=class_id, dbid_=dbid)
        return record_of(*rows[0]) if rows else None

    def kept_grants(self, class_id: int, dbid: int) -> Kept:
        """The grants of an object's own."""
        rows = self.ask(statements.GRANTS_OF, class_id_=class_id, dbid_=dbid)
        return Kept(rows[0][0], {(row[1], row[2]): row[3] for row in rows}) if rows else NO_GRANTS

    def granted_to(self, account: Account, most: int) -> list[tuple[int, int]]:
        """(class, DBID) of the objects with a grant to this account, in order."""
        named = {"account_class": account[0], "account_dbid": account[1], "most": most}
        return [(row[0], row[1]) for row in self.ask(statements.GRANTED_TO, **named)]

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
        """A connection of its own whose statements all see one revision (see reading.py)."""
        self.check_there()
        with self.engine.connect() as plain:
            connection = plain.execution_options(**reading_options(self.engine))
            with connection.begin():
                yield connection
