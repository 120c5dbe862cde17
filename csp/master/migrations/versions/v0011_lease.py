"""Gives the head row its counter and its holder, and standing masters a row each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("beat", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("holder", sa.Text, nullable=False, server_default=""),
        sa.Column("heir", sa.String(255), nullable=False, server_default="*"),
    ):
        op.add_column("head", column)
    op.create_table(
        "standbys",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="standbys_key"),
    )


def downgrade() -> None:
    """Nothing goes back: a backup does."""
