"""Gives account records what they know besides the hash; passwords that are there are new today."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("facts", sa.Text, nullable=False, server_default=""))
    # When they were set is not known: their age counts from here on.
    facts = f'{{"changed":{time.time_ns() // 1_000_000}}}'
    op.execute(sa.text("UPDATE accounts SET facts = :facts").bindparams(facts=facts))


def downgrade() -> None:
    """Nothing goes back: a backup does."""
