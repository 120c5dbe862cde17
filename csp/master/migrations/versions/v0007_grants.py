"""Gives the database a table for grants, and each object the flags of its record.

The first number of the grants' records says that the rights of a new database were not granted yet.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from csp.master.dialect import CLUSTERED

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("objects", sa.Column("flags", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "grants",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("account_class", sa.Integer, nullable=False),
        sa.Column("account_dbid", sa.Integer, nullable=False),
        sa.Column("class_id", sa.Integer, nullable=False),
        sa.Column("dbid", sa.Integer, nullable=False),
        sa.Column("rights", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number", "account_class", "account_dbid", name="grants_key"),
        **CLUSTERED,
    )
    op.create_index("grants_of_object", "grants", ["class_id", "dbid"])
    op.create_index("grants_to_account", "grants", ["account_class", "account_dbid"])
    op.execute("INSERT INTO counters (class_id, next_dbid) VALUES (252, 1)")


def downgrade() -> None:
    """Nothing goes back: a backup does."""
