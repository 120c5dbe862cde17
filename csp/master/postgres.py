"""Opens PostgreSQL: connections that are never waited for without limit, and what they must be.

1. No silence of the server is waited for longer than the turn has left (patience.py), whatever
   became of it: after that the connection is closed, and what it was doing ends without us or not
   at all. Each piece of an answer begins the wait anew.
2. A connection that only reads much, on a thread or in steps, has a limit of its own.
3. A commit that returned is on the server's disk: `synchronous_commit` is never off; where it has
   synchronous standbys, on theirs too.
4. Of several hosts in the address only one that takes writes is connected to, where the address
   says nothing else; one of an older timeline than was seen before is a primary that was replaced,
   and is refused.
5. Text is UTF-8 on both sides; another encoding is refused at the first connection.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from typing import Any, Final, TypeVar

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL

from csp import errors
from csp.master.patience import ONE_WAIT_SECONDS_MAX, Turn

CONNECT_SECONDS_MAX: Final = 2  # libpq takes whole seconds, two at least
MIGRATION_SECONDS_MAX: Final = 600.0  # a statement of a migration, which may read every row
READ_SECONDS_MAX: Final = 30.0  # the next piece of a load: a cold disk, a busy server
STATEMENT_MS_MAX: Final = 1500  # told to the server, which says then what took so long
# Of a stopped master's open transaction: it lets the head row go before the lease is over.
IDLE_MS_MAX: Final = 2500
READ_IDLE_MS_MAX: Final = 60_000  # of one that only reads, or migrates: it holds nobody up
LOOK_SECONDS: Final = 0.1  # how often a waiting connection looks at the clock
STANDBY_WAIT: Final = "SyncRepWaitForLSN"  # where the server waits for its standbys
# Of a server that takes writes; a standby's is no matter here.
TIMELINE: Final = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE "
    "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END"
)
DRIVER: Final = "postgresql+psycopg"

Result = TypeVar("Result")
Ready = Generator[Any, Any, Result]


class Patient(psycopg.Connection[Any]):
    """A connection whose every wait has a limit; libpq itself knows one for connecting only."""

    turn: Turn | None = None  # None: outside of the writer's loop
    is_unconfirmed = False  # whether the server gave up waiting for a standby
    seconds_max = ONE_WAIT_SECONDS_MAX  # longer where it was given time
    backend_start = ""  # of the server's process for it, in seconds UTC

    def wait(self, gen: Ready[Result], *_: Any, **__: Any) -> Result:
        """Waits for the server's answer; OperationalError and a closed connection if none came."""
        return super().wait(self._limited(gen), interval=LOOK_SECONDS)

    def commit(self) -> None:
        """Commits; OperationalError and a closed connection where no standby has confirmed it.

        The server calls that a success, with a warning: what it has alone may be lost with it.
        """
        self.is_unconfirmed = False
        super().commit()
        if self.is_unconfirmed:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                "committed, but the wait for a synchronous standby ended without its confirmation"
            )

    def _limited(self, gen: Ready[Result]) -> Ready[Result]:
        began = time.monotonic()
        seconds_max = self.seconds_max
        is_given_time = seconds_max > ONE_WAIT_SECONDS_MAX
        if self.turn is not None and not is_given_time:
            seconds_max = self.turn.wait_seconds
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    began = self._answered(time.monotonic() if is_given_time else began)
                elif time.monotonic() - began > seconds_max:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {seconds_max:.1f} s")
                elif self.turn is not None and is_given_time:
                    self.turn.answered()  # a long wait that was meant
                wanted = gen.send(ready)
        except StopIteration as done:
            found: Result = done.value
            return found

    def _answered(self, began: float) -> float:
        now = time.monotonic()
        if self.turn is not None:
            self.turn.waited(now - began)
            self.turn.answered()
        return now


def open_postgres(url: URL) -> Engine:
    """An engine for a PostgreSQL address; connects at the first use only."""
    if url.drivername not in ("postgresql", DRIVER):
        raise errors.BadValue(f"--db {url.drivername}: csp speaks to PostgreSQL by {DRIVER} only")
    engine = create_engine(
        _to_writer(url).set(drivername=DRIVER),
        # A writer that waited for the head row must see what the other one left there.
        isolation_level="READ COMMITTED",
        connect_args={"connect_timeout": CONNECT_SECONDS_MAX, "application_name": "csp master"},
        hide_parameters=True,
    )
    event.listen(engine, "do_connect", _connect)
    newest = Timeline()

    def connected(connection: Patient, record: Any) -> None:
        _connected(connection, record)
        newest.see(connection)

    event.listen(engine, "connect", connected)
    return engine


def _to_writer(url: URL) -> URL:
    """Of several hosts, the one that takes writes; the address may say otherwise."""
    named = url.query.get("host", url.host or "")
    count = len(named) if isinstance(named, tuple) else len(named.split(","))
    if count < 2 or "target_session_attrs" in url.query:
        return url
    return url.update_query_dict({"target_session_attrs": "read-write"})


class Timeline:
    """The newest of the server's timelines that this process has seen: each failover begins one."""

    def __init__(self) -> None:
        self._newest = 0

    def see(self, connection: Patient) -> None:
        """Closes the connection and raises MasterDown where its server was replaced."""
        row = connection.execute(TIMELINE).fetchone()
        connection.commit()
        found = row[0] if row else 0
        if found and found < self._newest:
            connection.close()
            raise errors.MasterDown(
                f"the database server is at timeline {found}, and {self._newest} was seen: it is "
                f"a former primary, whose place another one has taken"
            )
        self._newest = max(self._newest, found)


def many_rows(text: str) -> str:
    """A compiled INSERT, UPDATE or DELETE of one row as one of many: each value becomes an array.

    A statement for each row costs the driver and the server more than the rows themselves.
    """
    types = dict(_VALUE.findall(text))
    arrays = ", ".join(f"%({name})b::{type_ or 'BYTEA'}[]" for name, type_ in types.items())
    table = f"unnest({arrays})"
    if text.startswith("INSERT"):
        columns = text[: text.index(" VALUES ")]
        return f"{columns} SELECT * FROM {table}"
    rows = f"{table} AS many ({', '.join(types)})"
    one = _VALUE.sub(lambda found: f"many.{found[1]}", text)
    if one.startswith("DELETE"):
        return one.replace(" WHERE ", f" USING {rows} WHERE ", 1)
    return one.replace(" WHERE ", f" FROM {rows} WHERE ", 1)


_VALUE: Final = re.compile(r"%\((\w+)\)s(?:::(\w+))?")  # only bytes come without a type


def wait_within(connection: Any, turn: Turn) -> None:
    """This connection is waited for by the writer's loop: its waits count."""
    connection.connection.driver_connection.turn = turn


def give_time(connection: Any, seconds_max: float | None) -> None:
    """Lets the statements of this transaction take their time, until `take_back_time`.

    The next piece of an answer is waited for so long; None: as long as any.
    """
    if seconds_max is not None:
        connection.connection.driver_connection.seconds_max = seconds_max
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
    connection.exec_driver_sql(
        f"SET LOCAL idle_in_transaction_session_timeout = {READ_IDLE_MS_MAX}"
    )


def take_back_time(connection: Any) -> None:
    """Ends what `give_time` began."""
    driver = connection.connection.driver_connection
    if driver is not None:  # else it was lost
        driver.seconds_max = ONE_WAIT_SECONDS_MAX


def backend_of(connection: Any) -> tuple[int, str]:
    """The server's process for a connection: its pid, and its start as pg_stat_activity has it."""
    driver: Patient = connection.connection.driver_connection
    return driver.info.backend_pid, driver.backend_start


def _connect(_dialect: Any, _record: Any, words: list[Any], named: dict[str, Any]) -> Patient:
    return Patient.connect(*words, **named)


def _connected(connection: Patient, _record: Any) -> None:
    """Settles what every transaction of this connection relies on."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        connection.close()
        raise errors.BadValue(
            f"--db: the database's encoding is {encoding}, csp needs UTF8 "
            f"(CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)"
        )
    for name, value in (
        ("client_encoding", "UTF8"),
        ("statement_timeout", str(STATEMENT_MS_MAX)),
        ("lock_timeout", str(STATEMENT_MS_MAX)),
        ("idle_in_transaction_session_timeout", str(IDLE_MS_MAX)),
    ):
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))

    def note(said: psycopg.errors.Diagnostic) -> None:
        # Its words are in the server's language; its place is not.
        if said.source_function == STANDBY_WAIT:
            connection.is_unconfirmed = True

    connection.add_notice_handler(note)
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') = 'off'"
    )
    started = connection.execute(
        "SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity "
        "WHERE pid = pg_backend_pid()"
    ).fetchone()
    connection.backend_start = started[0] or "" if started else ""
    connection.commit()
