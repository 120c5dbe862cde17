"""Gives the database a table for the records of clients' sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "session_log",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("account", sa.Integer, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="session_log_key"),
    )
    op.create_index("session_log_time", "session_log", ["time_ms"])


def downgrade() -> None:
    """Nothing goes back: a backup does."""
