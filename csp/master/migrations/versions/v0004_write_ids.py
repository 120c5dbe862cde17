"""Gives write ids to their accounts, with a digest of the command, and the database a key for it.

Ids of the form before stay for their time, as ids of every account and of any command.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("writes_time", "writes")
    op.rename_table("writes", "writes_before")
    op.create_table(
        "writes",
        sa.Column("account", sa.Integer, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", "account", name="writes_key"),
    )
    op.execute(
        "INSERT INTO writes (account, id, digest, time_ms, result) "
        "SELECT 0, id, '', time_ms, result FROM writes_before"
    )
    op.drop_table("writes_before")
    op.create_index("writes_time", "writes", ["time_ms"])
    op.add_column("head", sa.Column("digest_key", sa.String(64), nullable=False, server_default=""))
    op.execute(f"UPDATE head SET digest_key = '{secrets.token_hex(32)}'")


def downgrade() -> None:
    """Nothing goes back: a backup does."""
