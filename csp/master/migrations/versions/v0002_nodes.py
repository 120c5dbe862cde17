"""Drops the log entries of the first form, which no store reads; history rows and marks stay.

Servers that follow load once: the log goes on with the next change.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE history SET entry = NULL")


def downgrade() -> None:
    """Nothing comes back, and nothing is missed: entries leave the history by age too."""
