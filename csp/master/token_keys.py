"""Makes the keys of tokens: the first with the database, then each ROTATE_MS a new one.

1. A new key is a change with a revision of its own, so that it reaches every store and proxy as
   account records do; its entry names no object, and the history does not have it.
2. What is older than the last KEPT goes in the same transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import Connection, select

from csp.master import schema
from csp.master.build import Built
from csp.master.database import Database
from csp.master.rows import ChangeRows, Row
from csp.model.entry import build_keys_entry
from csp.model.sealing import sealing_key
from csp.model.token_keys import KEPT, KEYS_DBID, ROTATE_MS, SECRET_BYTES, TokenKey, keys_image

_table = schema.token_keys


def keys_seen_by(connection: Connection) -> tuple[tuple[TokenKey, ...], int]:
    """The keys as one transaction sees them, the newest last, and the revision of the newest."""
    rows = connection.execute(select(_table).order_by(_table.c.id)).all()
    keys = tuple(TokenKey(row.id, row.made_ms, bytes.fromhex(row.secret)) for row in rows)
    return keys, rows[-1].revision if rows else 0


def token_keys(database: Database) -> tuple[TokenKey, ...]:
    """The keys as they are now."""
    with database.reader.begin():
        return keys_seen_by(database.reader)[0]


def sealing_seen_by(connection: Connection) -> bytes:
    """The key that this master seals options with: it is made with the database, and stays."""
    digest_key = connection.execute(select(schema.head.c.digest_key)).scalar_one()
    return sealing_key(bytes.fromhex(digest_key))


def is_due(keys: Sequence[TokenKey], now_ms: int) -> bool:
    """Whether it is time for a new key."""
    return not keys or now_ms - keys[-1].made_ms >= ROTATE_MS


def first_key(revision: int, now_ms: int) -> Row:
    """The row of a new database's key."""
    return _row(_new_key((), now_ms), revision)


def build_rotation(
    keys: Sequence[TokenKey], sealing: bytes, revision: int, prev_mark: int, time_ms: int
) -> tuple[Built, tuple[TokenKey, ...]]:
    """The change that brings a new key, and the keys that are good then."""
    kept = (*keys, _new_key(keys, time_ms))[-KEPT:]
    built = Built(ChangeRows(revision, 0, time_ms))
    built.entry = build_keys_entry(revision, prev_mark, time_ms, [KEYS_DBID])
    built.accounts = [keys_image(kept, sealing, revision)]
    rows = built.rows
    rows.take_entry(built.entry)
    rows.token_keys = [_row(kept[-1], revision)]
    rows.token_keys_gone = [{"id_": key.id} for key in keys if key not in kept]
    return built, kept


def _new_key(keys: Sequence[TokenKey], now_ms: int) -> TokenKey:
    number = keys[-1].id + 1 if keys else 1
    return TokenKey(number, now_ms, secrets.token_bytes(SECRET_BYTES))


def _row(key: TokenKey, revision: int) -> Row:
    return {
        "id": key.id,
        "made_ms": key.made_ms,
        "secret": key.secret.hex(),
        "revision": revision,
    }
