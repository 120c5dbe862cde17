"""Gives the database a table for the Kerberos tickets of the last minutes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tickets",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="tickets_key"),
    )


def downgrade() -> None:
    """Nothing goes back: a backup does."""
