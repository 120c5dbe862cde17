"""Creates the first tables: objects, names, references, counters, head, history, accounts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from csp.master.dialect import BINARY_TEXT, CLUSTERED

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _objects()
    _service()


def _objects() -> None:
    op.create_table(
        "objects",
        sa.Column("class_id", sa.Integer, nullable=False),
        sa.Column("dbid", sa.Integer, nullable=False),
        sa.Column("tenant", sa.Integer, nullable=False),
        sa.Column("folder", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("class_id", "dbid", name="objects_key"),
    )
    op.create_table(
        "unique_names",
        sa.Column("class_id", sa.Integer, nullable=False),
        sa.Column("rule", sa.Integer, nullable=False),
        sa.Column("scope", BINARY_TEXT, nullable=False),
        sa.Column("value", BINARY_TEXT, nullable=False),
        sa.Column("dbid", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("class_id", "rule", "scope", "value", name="unique_names_key"),
        **CLUSTERED,
    )
    op.create_index("unique_names_of_object", "unique_names", ["class_id", "dbid"])
    op.create_table(
        "refs",
        sa.Column("from_class", sa.Integer, nullable=False),
        sa.Column("from_dbid", sa.Integer, nullable=False),
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("to_class", sa.Integer, nullable=False),
        sa.Column("to_dbid", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint(
            "from_class", "from_dbid", "path", "to_class", "to_dbid", name="refs_key"
        ),
        **CLUSTERED,
    )
    op.create_index("refs_to", "refs", ["to_class", "to_dbid"])
    op.create_table(
        "counters",
        sa.Column("class_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("next_dbid", sa.Integer, nullable=False),
    )


def _service() -> None:
    op.create_table(
        "head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("mark", sa.String(16), nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("stream", sa.String(32), nullable=False),
    )
    op.create_table(
        "history",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("mark", sa.String(16), nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("write_id", sa.String(36), nullable=False),
        sa.Column("changes", sa.Text, nullable=False),
        sa.Column("entry_size", sa.Integer, nullable=False),
        sa.Column("entry", sa.LargeBinary, nullable=True),
    )
    op.create_table(
        "writes",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
    )
    op.create_index("writes_time", "writes", ["time_ms"])
    op.create_table(
        "accounts",
        sa.Column("class_id", sa.Integer, nullable=False),
        sa.Column("dbid", sa.Integer, nullable=False),
        sa.Column("user_name", BINARY_TEXT, nullable=False),
        sa.Column("algorithm", sa.String(64), nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("class_id", "dbid", name="accounts_key"),
    )


def downgrade() -> None:
    for name in (
        "accounts",
        "writes",
        "history",
        "head",
        "counters",
        "refs",
        "unique_names",
        "objects",
    ):
        op.drop_table(name)
