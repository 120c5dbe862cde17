"""Declares the tables of the master's database, for every dialect alike.

1. `objects` holds each object once; its text carries neither class, DBID nor revision.
2. `unique_names` makes the database itself refuse a name that is taken; compared byte by byte.
3. `refs` says who refers to whom; it is derived from `objects` and written with it.
4. `head` has one row; its fence number admits one master, its revision has no gaps.
5. `entries` is the window of the change log; `history` says what changed, for longer.
6. `grants` says who may what on the objects that have grants of their own: a number for each such
   object, and a row for each account. An object's flags are those of its record.
7. `accounts` is the only place with hashes of secrets; no table holds a secret itself.
8. `token_keys` has the secrets of which tokens are signed, the newest ones alone.
9. `session_log` has the records of clients' sessions as they came, outside of any change.
10. `writes` has the id that a client gave a write, under its account, with a digest of the command:
   keyed, as a command may hold a secret. An account of 0 stands for all, a digest of "" for any.
11. `tickets` has the digests of Kerberos tickets that were used in the last minutes (tickets.py).
12. `pairs` says which half of a pair of proxies is to serve (pairs.py).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from csp.master.dialect import BINARY_TEXT, CLUSTERED

metadata = MetaData()

# The newest of migrations/versions: a database that has it needs no migration, nor the import of
# Alembic, which takes longer than all else that a restarted writer does.
VERSION = "0011"
versions = Table("alembic_version", MetaData(), Column("version_num", String(32)))

objects = Table(
    "objects",
    metadata,
    Column("class_id", Integer, nullable=False),
    Column("dbid", Integer, nullable=False),
    Column("tenant", Integer, nullable=False),
    Column("folder", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("flags", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("class_id", "dbid", name="objects_key"),
)

unique_names = Table(
    "unique_names",
    metadata,
    Column("class_id", Integer, nullable=False),
    Column("rule", Integer, nullable=False),
    Column("scope", BINARY_TEXT, nullable=False),
    Column("value", BINARY_TEXT, nullable=False),
    Column("dbid", Integer, nullable=False),
    PrimaryKeyConstraint("class_id", "rule", "scope", "value", name="unique_names_key"),
    Index("unique_names_of_object", "class_id", "dbid"),
    **CLUSTERED,
)

refs = Table(
    "refs",
    metadata,
    Column("from_class", Integer, nullable=False),
    Column("from_dbid", Integer, nullable=False),
    Column("path", String(255), nullable=False),
    Column("to_class", Integer, nullable=False),
    Column("to_dbid", Integer, nullable=False),
    PrimaryKeyConstraint("from_class", "from_dbid", "path", "to_class", "to_dbid", name="refs_key"),
    Index("refs_to", "to_class", "to_dbid"),
    **CLUSTERED,
)

counters = Table(
    "counters",
    metadata,
    Column("class_id", Integer, primary_key=True, autoincrement=False),
    Column("next_dbid", Integer, nullable=False),
)

head = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("fence", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("mark", String(16), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("stream", String(32), nullable=False),
    # Of the log in `entries`: up to where it is gone, and its bytes up to `counted_to`.
    Column("pruned_to", BigInteger, nullable=False, server_default="0"),
    Column("counted_to", BigInteger, nullable=False, server_default="0"),
    Column("entry_bytes", BigInteger, nullable=False, server_default="0"),
    Column("digest_key", String(64), nullable=False, server_default=""),
    # Of the lease (csp/master/lease.py): a counter, who has it, and who may take it at once.
    Column("beat", BigInteger, nullable=False, server_default="0"),
    Column("holder", Text, nullable=False, server_default=""),
    Column("heir", String(255), nullable=False, server_default="*"),
)

entries = Table(
    "entries",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("mark", String(16), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("entry", LargeBinary, nullable=False),
)

history = Table(
    "history",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("mark", String(16), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("write_id", String(36), nullable=False),
    Column("changes", Text, nullable=False),
    Column("details", LargeBinary, nullable=True),
)

writes = Table(
    "writes",
    metadata,
    Column("account", Integer, nullable=False),
    Column("id", String(36), nullable=False),
    Column("digest", String(32), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("result", Text, nullable=False),
    PrimaryKeyConstraint("id", "account", name="writes_key"),
    Index("writes_time", "time_ms"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("class_id", Integer, nullable=False),
    Column("dbid", Integer, nullable=False),
    Column("user_name", BINARY_TEXT, nullable=False),
    Column("algorithm", String(64), nullable=False),
    Column("hash", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("facts", Text, nullable=False, server_default=""),  # csp/model/accounts.py
    PrimaryKeyConstraint("class_id", "dbid", name="accounts_key"),
)

grants = Table(
    "grants",
    metadata,
    Column("number", Integer, nullable=False, autoincrement=False),
    Column("account_class", Integer, nullable=False),
    Column("account_dbid", Integer, nullable=False),
    Column("class_id", Integer, nullable=False),
    Column("dbid", Integer, nullable=False),
    Column("rights", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    PrimaryKeyConstraint("number", "account_class", "account_dbid", name="grants_key"),
    Index("grants_of_object", "class_id", "dbid"),
    Index("grants_to_account", "account_class", "account_dbid"),
    **CLUSTERED,
)

token_keys = Table(
    "token_keys",
    metadata,
    Column("id", Integer, nullable=False, autoincrement=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("secret", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", name="token_keys_key"),
)

session_log = Table(
    "session_log",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("account", Integer, nullable=False),
    Column("record", Text, nullable=False),
    Index("session_log_time", "time_ms"),
)

pairs = Table(
    "pairs",
    metadata,
    Column("pair", Integer, nullable=False, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("active", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    PrimaryKeyConstraint("pair", name="pairs_key"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("digest", String(64), nullable=False),
    PrimaryKeyConstraint("digest", name="tickets_key"),
)

standbys = Table(
    "standbys",
    metadata,
    Column("name", String(255), nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("told", Text, nullable=False),
    PrimaryKeyConstraint("name", name="standbys_key"),
)
